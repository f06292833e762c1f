//! The rule as a table of lives: what a store does, second by second, and who is a member then.

use super::*;

const TERMS: Terms = Terms { ttl: Duration::from_secs(10), moment: Duration::from_secs(1) };

struct Life {
    roster: Roster,
    now: Duration,
    mark: Option<String>,
    members: Vec<String>,
    deaf: Vec<String>,
}

fn life(mark: Option<&str>, list: &[&str]) -> Life {
    let mut life = Life {
        roster: Roster::new(TERMS),
        now: Duration::from_secs(100),
        mark: mark.map(String::from),
        members: vec![],
        deaf: vec![],
    };
    life.lists(list);
    life
}

fn entries(hosts: &[&str]) -> Vec<Entry> {
    hosts.iter().map(|host| Entry::Tcp { host: host.to_string(), port: 1 }).collect()
}

impl Life {
    fn lists(&mut self, hosts: &[&str]) -> &mut Life {
        let proof = Proof::Life(self.mark.clone());
        self.take(hosts, &proof)
    }

    fn take(&mut self, hosts: &[&str], proof: &Proof) -> &mut Life {
        let change = self.roster.delivered(&entries(hosts), proof, self.now);
        self.members.retain(|m| !change.removed.iter().any(|e| e.host() == m));
        for entry in change.added {
            // As `Cluster::add`, which knows who is there.
            let host = entry.host().to_string();
            if !self.members.contains(&host) {
                self.members.push(host);
            }
        }
        self.members.sort();
        self
    }

    fn fails(&mut self) -> &mut Life {
        self.roster.failed(self.now);
        self
    }

    fn marked(&mut self, mark: &str) -> &mut Life {
        self.mark = Some(mark.into());
        self
    }

    fn after(&mut self, seconds: u64) -> &mut Life {
        for _ in 0..seconds * 2 {
            self.now += Duration::from_millis(500);
            let deaf = self.deaf.clone();
            let out = self.roster.settle(self.now, |e| !deaf.iter().any(|d| d == e.host()));
            self.members.retain(|m| !out.iter().any(|e| e.host() == m));
        }
        self
    }

    #[track_caller]
    fn has(&mut self, members: &[&str]) -> &mut Life {
        assert_eq!(self.members, members, "at {:?}", self.now);
        assert_eq!(self.roster.len(), members.len());
        self
    }
}

#[test]
fn an_entry_that_goes_by_itself_is_out_at_once() {
    life(Some("m"), &["a", "b"])
        .has(&["a", "b"])
        .lists(&["b"])
        .has(&["b"])
        .lists(&["b", "a"])
        .has(&["a", "b"]);
    life(Some("m"), &["a"]).lists(&[]).has(&[]);
    life(None, &["a", "b"]).lists(&["a"]).has(&["a"]);
}

#[test]
fn written_lists_are_right_even_when_empty() {
    let mut life = life(None, &[]);
    life.take(&["a", "b"], &Proof::Final).take(&[], &Proof::Final).has(&[]);
}

#[test]
fn a_store_that_comes_back_blank_keeps_whoever_answers() {
    let mut life = life(Some("m"), &["a", "b", "c"]);
    life.deaf.push("c".into());
    life.marked("n").lists(&[]).after(5).has(&["a", "b", "c"]);
    assert_eq!(life.roster.kept(), 3);
    life.after(5).has(&["a", "b"]).after(500).has(&["a", "b"]);
}

#[test]
fn after_a_wipe_everybody_has_a_ttl_to_come_back() {
    let mut life = life(Some("m"), &["a", "b", "c"]);
    life.marked("n")
        .lists(&[])
        .after(3)
        .lists(&["a"])
        .after(3)
        .lists(&["a", "b"])
        .after(6)
        .has(&["a", "b", "c"]);
    assert_eq!(life.roster.kept(), 1);
    life.after(2).has(&["a", "b"]).lists(&["a"]).has(&["a"]);
}

#[test]
fn a_wipe_that_is_wiped_again_counts_anew() {
    let mut life = life(Some("m"), &["a", "b"]);
    life.marked("n").lists(&["a"]).after(9).marked("o").lists(&["a"]).after(9).has(&["a", "b"]);
    life.after(2).has(&["a"]);
}

#[test]
fn while_a_list_cannot_be_read_nothing_changes() {
    let mut life = life(Some("m"), &["a", "b"]);
    life.deaf.push("a".into());
    life.fails().after(50).fails().has(&["a", "b"]);
    // Registrations ran out meanwhile; agents come back one by one.
    life.lists(&[]).after(3).lists(&["b"]).after(5).has(&["a", "b"]).after(3).has(&["b"]);
}

#[test]
fn a_short_outage_changes_nothing_about_withdrawals() {
    life(Some("m"), &["a", "b"]).fails().after(4).lists(&["a", "b"]).lists(&["a"]).has(&["a"]);
}

#[test]
fn several_at_one_blow_are_believed_a_moment_later() {
    life(Some("m"), &["a", "b", "c"]).lists(&["c"]).has(&["a", "b", "c"]).after(1).has(&["c"]);
    let mut cleared = life(Some("m"), &["a", "b"]);
    cleared.lists(&[]).has(&["a", "b"]).lists(&["a", "b"]).after(50).has(&["a", "b"]);
    life(Some("m"), &["a", "b"]).lists(&[]).after(1).has(&[]);
}

#[test]
fn without_a_mark_agents_have_a_ttl_to_come_back() {
    life(None, &["a", "b"]).lists(&[]).after(9).has(&["a", "b"]).after(2).has(&[]);
    life(None, &["a"]).lists(&[]).after(9).has(&["a"]).after(2).has(&[]);
    // It was blank before we looked; one was quicker than we.
    life(None, &["a", "b", "c"]).lists(&["c"]).after(9).has(&["a", "b", "c"]).after(2).has(&["c"]);
    let mut back = life(None, &["a", "b", "c"]);
    back.lists(&["c"]).after(5).lists(&["a", "b", "c"]).after(50).has(&["a", "b", "c"]);
}

#[test]
fn who_was_taken_out_by_hand_is_added_again_when_it_comes_back() {
    let mut life = life(Some("m"), &["a", "b"]);
    life.marked("n").lists(&[]);
    life.members.retain(|m| m != "a"); // the operator
    life.lists(&["a", "b"]).has(&["a", "b"]);
}
