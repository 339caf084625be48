//! Who may do what: the one place that says yes or no.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{
    Config, Identity, UserName,
    access_rule::{AccessRule, Pattern},
};
use crate::oci::RepositoryName;

/// What a request wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Ask whether the registry is there and the login is right (`GET /v2/`).
    Ping,
    /// Read a repository.
    Pull,
    /// Write to a repository.
    Push,
    /// Delete from a repository.
    Delete,
    /// List the repositories; each one listed must be one that may be read.
    Catalog,
    /// See what others did, and how the server is.
    Administer,
}

/// The answer of a [`Policy`].
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

/// The rules of a registry. Anonymous may nothing, unless the registry runs without authentication. A user whom no rule
/// names may do all but administer; one whom rules name may do what these allow and nothing else; an admin may do all.
/// Clones are the same rules, which may change while the server runs.
#[derive(Clone, Debug)]
pub struct Policy {
    anonymous: Decision,
    rules: Arc<ArcSwap<Rules>>,
}

#[derive(Debug)]
struct Rules {
    admins: Vec<UserName>,
    access: Vec<AccessRule>,
}

impl Rules {
    fn of(config: &Config) -> Self {
        Self { admins: config.admins.clone(), access: config.access.clone() }
    }
}

impl Policy {
    /// The rules that follow from the configuration.
    pub fn new(config: &Config) -> Self {
        let anonymous = if config.htpasswd.is_none() { Decision::Allow } else { Decision::Deny };
        Self { anonymous, rules: Arc::new(ArcSwap::from_pointee(Rules::of(config))) }
    }

    /// Takes admins and rules from another configuration, for every request from now on. Whether anybody has to sign in
    /// stays as it was.
    pub fn set(&self, config: &Config) {
        self.rules.store(Arc::new(Rules::of(config)));
    }

    /// Whether `identity` may have this access to the repository; where there is none, to the registry as a whole:
    /// of [`Access::Pull`], [`Access::Push`] and [`Access::Delete`] to every repository.
    ///
    /// A mount is asked twice: `Push` for the repository that receives, `Pull` for the one that gives.
    pub fn authorize(
        &self,
        identity: &Identity,
        access: Access,
        repository: Option<&RepositoryName>,
    ) -> Decision {
        let Identity::User(user) = identity else { return self.anonymous };
        let rules = self.rules.load();
        match access {
            _ if rules.admins.contains(user) => Decision::Allow,
            Access::Ping | Access::Catalog => Decision::Allow,
            Access::Administer => Decision::Deny,
            Access::Pull | Access::Push | Access::Delete => rules.of_user(user, access, repository),
        }
    }

    /// The repositories that `identity` may read by the rules of this moment: those for which [`Self::authorize`] says
    /// yes, for who asks about many.
    pub fn readable(&self, identity: &Identity) -> Vec<Pattern> {
        if self.authorize(identity, Access::Pull, None) == Decision::Allow {
            return vec![Pattern::All];
        }
        let Identity::User(user) = identity else { return Vec::new() };
        let rules = self.rules.load();
        let named = rules.access.iter().filter(|rule| rule.names(user));
        named.flat_map(|rule| rule.of(Access::Pull)).cloned().collect()
    }
}

impl Rules {
    fn of_user(&self, user: &UserName, access: Access, repository: Option<&RepositoryName>) -> Decision {
        let mut named = self.access.iter().filter(|rule| rule.names(user)).peekable();
        if named.peek().is_none() || named.any(|rule| rule.allows(access, repository)) {
            Decision::Allow
        } else {
            Decision::Deny
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const REPOSITORY_ACCESS: [Access; 3] = [Access::Pull, Access::Push, Access::Delete];

    #[test]
    fn the_table_without_rules() {
        let closed = Policy::new(&Config { htpasswd: Some("users".into()), ..Config::default() });
        let open = Policy::new(&Config { htpasswd: None, ..Config::default() });
        let ana = Identity::User("ana".parse().unwrap());
        let repository: RepositoryName = "team/app".parse().unwrap();
        for access in REPOSITORY_ACCESS.into_iter().chain([Access::Ping, Access::Catalog]) {
            for repository in [None, Some(&repository)] {
                assert_eq!(closed.authorize(&ana, access, repository), Decision::Allow);
                assert_eq!(closed.authorize(&Identity::Anonymous, access, repository), Decision::Deny);
                assert_eq!(open.authorize(&Identity::Anonymous, access, repository), Decision::Allow);
            }
        }
        assert_eq!(closed.authorize(&ana, Access::Administer, None), Decision::Deny, "nobody, unless named");
        assert_eq!(open.authorize(&Identity::Anonymous, Access::Administer, None), Decision::Allow);
    }

    #[test]
    fn a_user_whom_rules_name_may_only_what_they_allow() {
        let rule = |users: &[&str], repositories: &[&str], allow: &[&str]| {
            AccessRule::parse(users, repositories, allow).unwrap()
        };
        let policy = Policy::new(&Config {
            htpasswd: Some("users".into()),
            admins: vec!["root".parse().unwrap()],
            access: vec![
                rule(&["ci", "root"], &["team/*"], &["pull"]),
                rule(&["ci"], &["team/app"], &["push"]),
                rule(&["reader"], &["*"], &["pull"]),
            ],
            ..Config::default()
        });
        let may = |user: &str, access, repository: Option<&str>| {
            let identity = Identity::User(user.parse().unwrap());
            let repository: Option<RepositoryName> = repository.map(|name| name.parse().unwrap());
            policy.authorize(&identity, access, repository.as_ref()) == Decision::Allow
        };
        assert!(may("ci", Access::Pull, Some("team/app")) && may("ci", Access::Pull, Some("team/a/b")));
        assert!(may("ci", Access::Push, Some("team/app")) && !may("ci", Access::Push, Some("team/other")));
        assert!(!may("ci", Access::Pull, Some("team")) && !may("ci", Access::Pull, Some("teams/app")));
        assert!(!may("ci", Access::Pull, None), "not every repository");
        assert!(!may("ci", Access::Delete, Some("team/app")));
        assert!(may("reader", Access::Pull, None) && !may("reader", Access::Push, Some("x")));
        assert!(may("ana", Access::Delete, Some("x")), "whom no rule names");
        for access in REPOSITORY_ACCESS {
            assert!(may("root", access, Some("x")) && may("root", access, None));
        }
        assert!(may("root", Access::Administer, None) && !may("reader", Access::Administer, None));
        for (user, name) in ["ci", "root", "reader", "ana"]
            .into_iter()
            .flat_map(|user| ["team", "teams/app", "team/app", "team/a/b", "x"].map(|name| (user, name)))
        {
            let readable = policy.readable(&Identity::User(user.parse().unwrap()));
            let is_covered = readable.iter().any(|pattern| pattern.covers(&name.parse().unwrap()));
            assert_eq!(is_covered, may(user, Access::Pull, Some(name)), "{user} {name}");
        }
        assert_eq!(policy.readable(&Identity::Anonymous), []);
    }
}
