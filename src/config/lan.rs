//! Rules about finding managers by the token alone: what `[advertise]` and `discovery.managers` need, and what
//! makes no sense together.
//!
//! How they are found is in `discovery::lan`.

use super::check::{Purpose, Rules};
use super::local::{bare_token, scheme};
use super::value::Bad;

/// What stands before the port in an address that the agent shall find out by itself.
pub const AUTO: &str = "auto:";

impl Rules<'_> {
    /// The rules of this file.
    pub(super) fn lan(&mut self) {
        if self.purpose == Purpose::Create || !self.sound(&["discovery.url"]) {
            return;
        }
        for manager in self.config.discovery.managers.clone() {
            self.address("discovery.managers", &manager);
        }
        if let Some(address) = self.config.advertise.address.clone() {
            self.address("advertise.address", &address);
        }
        let url = self.config.discovery.url.clone().unwrap_or_default();
        self.needs_a_manager(&url);
        let auto = self.config.agent.advertise.as_deref().is_some_and(|text| text.starts_with(AUTO));
        if auto && self.config.role.joins() && scheme(&url) != "token" {
            let text = format!(
                "{} finds its address by the way to a manager, and {}:// names none",
                AUTO,
                scheme(&url)
            );
            self.refuse("agent.advertise", Bad::new(text).advise("write HOST:PORT"));
        }
    }

    /// Who hosts nothing must get its managers from somewhere.
    fn needs_a_manager(&mut self, url: &str) {
        let discovery = &self.config.discovery;
        let bare = bare_token(url).is_some();
        if !discovery.managers.is_empty() && !bare {
            let names = self.name("discovery.managers");
            self.warn(format!(
                "{names} has no effect: only token://TOKEN leaves open where the managers are"
            ));
        }
        let seeks = !self.config.role.manages() || self.purpose == Purpose::List;
        if bare && seeks && discovery.managers.is_empty() && !self.config.advertise.lan {
            let text = "{name} names no manager, and [advertise] lan = false forbids to look for one";
            let advice = "write token://MANAGER:3376/TOKEN, or managers = [\"MANAGER:3376\"]";
            self.refuse("discovery.url", Bad::new(text).advise(advice));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::check::Purpose;
    use crate::config::load::Sources;
    use crate::config::overlay::Setting;

    fn load(settings: &[&str]) -> Result<Vec<String>, Vec<String>> {
        let mut sources = Sources::new(Purpose::Run, "swarmd");
        sources.flags = settings.iter().map(|s| Setting::from_assignment(s).unwrap()).collect();
        let texts = |problems: Vec<crate::config::problem::Problem>| {
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        sources.load().map(|loaded| loaded.warnings).map_err(texts)
    }

    #[test]
    fn an_agent_must_be_able_to_find_a_manager() {
        let agent = ["role=agent", "discovery.url=token://t", "agent.advertise=h:1"];
        let with = |more: &[&str]| load(&[&agent[..], more].concat());
        assert_eq!(with(&[]), Ok(vec![]));
        assert!(with(&["advertise.lan=false"]).unwrap_err()[0].contains("managers = [\"MANAGER:3376\"]"));
        assert_eq!(with(&["advertise.lan=false", "discovery.managers=[\"boss:3376\"]"]), Ok(vec![]));
        assert!(with(&["discovery.managers=[\"boss\"]"]).unwrap_err()[0].contains("ip:port"));
        assert!(with(&["advertise.address=boss"]).unwrap_err()[0].contains("ip:port"));
    }

    #[test]
    fn what_has_no_effect_is_said() {
        let elsewhere = ["role=agent", "discovery.url=token://boss:1/t", "agent.advertise=auto:2375"];
        let named = ["discovery.managers=[\"b:1\"]"];
        assert!(load(&[&elsewhere[..], &named].concat()).unwrap()[0].contains("has no effect"));
        let store = ["role=agent", "discovery.url=etcd://h:1", "agent.advertise=auto:2375"];
        assert!(load(&store).unwrap_err()[0].contains("write HOST:PORT"));
    }
}
