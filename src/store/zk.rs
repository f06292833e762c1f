//! A client of ZooKeeper: one session, made at the first call and given up when it is in doubt. One attempt
//! for each call.
//!
//! The library below keeps a session over short breaks of the connection. Beyond the deadline of a call we do
//! not wait for it: the next call makes a new session. Ephemeral nodes go with the session that made them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use zookeeper_client::{
    Acls, Client, CreateMode, CreateOptions, Error as Fault, EventType, OneshotWatcher, SessionState, Stat,
};

use crate::error::{Error, Kind, Result};
use crate::store::{Access, Address, DEADLINE, LONGEST_WAIT};

/// Who may do what with nodes of ours. Without a login everybody, as with the old tool's nodes, which could not
/// read others; with a login whoever has it.
fn acls(login: Option<&Arc<str>>) -> Acls<'static> {
    login.map_or_else(Acls::anyone_all, |_| Acls::creator_all())
}

/// A client. Cheap to clone; clones share the session.
#[derive(Clone)]
pub struct Zk {
    hosts: Arc<str>,
    login: Option<Arc<str>>,
    session_timeout: Duration,
    session: Arc<Mutex<Option<Client>>>,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The value.
    pub value: Vec<u8>,
    /// How often the value was written.
    pub version: i32,
    /// The session that it is bound to; 0 for none.
    pub owner: i64,
    /// The transaction that made it.
    pub created: i64,
}

/// How a node is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lives {
    /// Until it is deleted.
    Forever,
    /// As long as our session.
    WithSession,
    /// As long as our session, and with a number behind its name.
    Numbered,
}

/// Ends at the next change of what it was left at.
pub struct Watch(OneshotWatcher);

impl Zk {
    /// A client of the ensemble at `address`. A session outlives a break of the connection, or the process, by
    /// `session_timeout`; the server has bounds for that, see `session`. Nothing is contacted yet.
    pub fn new(address: &Address, access: &Access, session_timeout: Duration) -> Zk {
        let hosts: Vec<String> = address.endpoints.iter().map(ToString::to_string).collect();
        Zk {
            hosts: hosts.join(",").into(),
            login: access.login.as_ref().map(|(user, password)| format!("{user}:{password}").into()),
            session_timeout,
            session: Arc::default(),
        }
    }

    /// The session's number, and how long the server lets it live without a sign of us.
    pub async fn session(&self) -> Result<(i64, Duration)> {
        let client = self.within(self.connected()).await?;
        Ok((client.session_id().0, client.session_timeout()))
    }

    /// Whether the session of this number is still ours.
    pub async fn holds(&self, session: i64) -> bool {
        let client = self.session.lock().await;
        client.as_ref().is_some_and(|c| c.session_id().0 == session && !c.state().is_terminated())
    }

    /// Ends when the connection is broken: the session may or may not survive that.
    pub async fn disconnected(&self) -> Error {
        let Some(client) = self.session.lock().await.clone() else { return lost(&self.hosts) };
        let mut states = client.state_watcher();
        let mut state = client.state();
        while !(state.is_terminated() || state == SessionState::Disconnected) {
            state = states.changed().await;
        }
        Error::store(Kind::Broken, format!("the connection to ZooKeeper at {} broke", self.hosts))
    }

    /// Ends the session now, and with it what it holds.
    pub async fn close(&self) -> Result<()> {
        match self.session.lock().await.take() {
            None => Ok(()),
            Some(client) => {
                let mut states = client.state_watcher();
                drop(client); // the last one: the library says goodbye
                self.within(async {
                    while !states.changed().await.is_terminated() {}
                    Ok(())
                })
                .await
            }
        }
    }

    /// The names of the nodes below `path`, without it; none if there is no such node.
    pub async fn children(&self, path: &str) -> Result<Vec<String>> {
        self.call(|client| {
            let path = slashed(path);
            async move { absent_as(client.list_children(&path).await, Vec::new()) }
        })
        .await
    }

    /// As `children`, and what ends when a child comes or goes. `None` if there is no such node.
    pub async fn watch_children(&self, path: &str) -> Result<Option<(Vec<String>, Watch)>> {
        self.call(|client| {
            let path = slashed(path);
            async move {
                let listed = client.list_and_watch_children(&path).await;
                absent_as(listed.map(|(children, watch)| Some((children, Watch(watch)))), None)
            }
        })
        .await
    }

    /// A node, if it is there.
    pub async fn get(&self, path: &str) -> Result<Option<Node>> {
        self.call(|client| {
            let path = slashed(path);
            async move {
                absent_as(client.get_data(&path).await.map(|(value, stat)| Some(node(value, &stat))), None)
            }
        })
        .await
    }

    /// What ends when the node at `path` comes, goes or changes; with whether it is there now.
    pub async fn watch(&self, path: &str) -> Result<(bool, Watch)> {
        self.call(|client| {
            let path = slashed(path);
            async move {
                let (stat, watch) = client.check_and_watch_stat(&path).await?;
                Ok((stat.is_some(), Watch(watch)))
            }
        })
        .await
    }

    /// Makes a node, and persistent ones above it where they are missing. Returns its path, or `None` if there
    /// is one already.
    pub async fn create(&self, path: &str, value: &[u8], lives: Lives) -> Result<Option<String>> {
        let (path, value) = (slashed(path), value.to_vec());
        let acls = acls(self.login.as_ref());
        self.call(|client| async move {
            let options = lives.options(acls);
            let mut created = client.create(&path, &value, &options).await;
            if let (Err(Fault::NoNode), Some((above, _))) = (&created, path.rsplit_once('/')) {
                client.mkdir(above, &CreateMode::Persistent.with_acls(acls)).await?;
                created = client.create(&path, &value, &options).await;
            }
            match created {
                Ok((_, number)) if lives == Lives::Numbered => Ok(Some(format!("{path}{number}"))),
                Ok(_) => Ok(Some(path)),
                Err(Fault::NodeExists) => Ok(None),
                Err(fault) => Err(fault),
            }
        })
        .await
    }

    /// Puts an ephemeral node of ours in the place of one that is there, without a gap between them.
    pub async fn replace(&self, path: &str, value: &[u8]) -> Result<()> {
        let (path, value) = (slashed(path), value.to_vec());
        let acls = acls(self.login.as_ref());
        self.call(|client| async move {
            let mut both = client.new_multi_writer();
            both.add_delete(&path, None)?;
            both.add_create(&path, &value, &Lives::WithSession.options(acls))?;
            both.commit().await?;
            Ok(())
        })
        .await
    }

    /// Writes a node that is there, whatever its version; says whether it is.
    pub async fn set(&self, path: &str, value: &[u8]) -> Result<bool> {
        let (path, value) = (slashed(path), value.to_vec());
        self.call(|client| async move {
            absent_as(client.set_data(&path, &value, None).await.map(|_| true), false)
        })
        .await
    }

    /// Deletes a node. One that is not there is no error.
    pub async fn delete(&self, path: &str) -> Result<()> {
        let path = slashed(path);
        self.call(|client| async move { absent_as(client.delete(&path, None).await, ()) }).await
    }

    /// Calls the server within the deadline. What puts the session in doubt ends our use of it.
    async fn call<T, F>(&self, ask: impl FnOnce(Client) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let done = self
            .within(async {
                let client = self.connected().await?;
                Ok(ask(client).await)
            })
            .await;
        let done = done.and_then(|answer| answer.map_err(|fault| self.explain(&fault)));
        if done.as_ref().is_err_and(|e| e.kind != Kind::Permission && e.kind != Kind::Invalid) {
            self.session.lock().await.take();
        }
        done
    }

    async fn connected(&self) -> Result<Client> {
        let mut session = self.session.lock().await;
        if let Some(client) = session.as_ref().filter(|client| !client.state().is_terminated()) {
            return Ok(client.clone());
        }
        let mut connector =
            Client::connector().with_session_timeout(self.session_timeout).with_fail_eagerly();
        if let Some(login) = &self.login {
            connector = connector.with_auth("digest", login.as_bytes());
        }
        let client = connector.connect(&self.hosts).await.map_err(|fault| self.explain(&fault))?;
        *session = Some(client.clone());
        Ok(client)
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        match timeout(DEADLINE, call).await {
            Ok(done) => done,
            Err(_) => Err(Error::store(
                Kind::Timeout,
                format!("ZooKeeper at {} did not answer in time", self.hosts),
            )
            .advise("is that machine up, and does a firewall drop packets to that port?")),
        }
    }

    fn explain(&self, fault: &Fault) -> Error {
        let hosts = &self.hosts;
        match fault {
            Fault::NoHosts | Fault::Timeout => {
                Error::store(Kind::Connect, format!("cannot reach ZooKeeper at {hosts}: {fault}"))
                    .advise("is it running, and listening on that address?")
            }
            Fault::NoAuth | Fault::AuthFailed | Fault::InvalidAcl => {
                Error::store(Kind::Permission, format!("ZooKeeper at {hosts} refuses us: {fault}")).advise(
                    "give discovery-opt kv.username and kv.password of a user that may write this path",
                )
            }
            Fault::SessionExpired | Fault::SessionMoved | Fault::ClientClosed => lost(hosts),
            Fault::BadArguments(_) => Error::store(Kind::Invalid, format!("ZooKeeper: {fault}")),
            Fault::NoNode => Error::store(Kind::NotFound, format!("ZooKeeper at {hosts}: {fault}")),
            fault => Error::store(Kind::Broken, format!("the call to ZooKeeper at {hosts} failed: {fault}")),
        }
    }
}

impl Watch {
    /// Ends at the change, or after a while. Errors: the session is in doubt, so a change may go unseen.
    pub async fn changed(self) -> Result<()> {
        match timeout(LONGEST_WAIT, self.0.changed()).await {
            Err(_) => Ok(()),
            Ok(event) if event.event_type != EventType::Session => Ok(()),
            Ok(event) => {
                let text = format!("ZooKeeper ended the watch: {}", event.session_state);
                Err(Error::store(Kind::Broken, text))
            }
        }
    }
}

impl Lives {
    fn options(self, acls: Acls<'static>) -> CreateOptions<'static> {
        let mode = match self {
            Lives::Forever => CreateMode::Persistent,
            Lives::WithSession => CreateMode::Ephemeral,
            Lives::Numbered => CreateMode::EphemeralSequential,
        };
        mode.with_acls(acls)
    }
}

fn node(value: Vec<u8>, stat: &Stat) -> Node {
    Node { value, version: stat.version, owner: stat.ephemeral_owner, created: stat.czxid }
}

fn absent_as<T>(answer: Result<T, Fault>, absent: T) -> Result<T, Fault> {
    match answer {
        Err(Fault::NoNode) => Ok(absent),
        answer => answer,
    }
}

fn lost(hosts: &str) -> Error {
    Error::store(Kind::Broken, format!("the session at ZooKeeper {hosts} has ended"))
}

/// Keys have no slash in front; ZooKeeper's paths have.
fn slashed(key: &str) -> String {
    format!("/{}", key.trim_start_matches('/'))
}
