//! A rule of the configuration: these users may do this with these repositories, and nothing that no rule allows.

use super::{Access, UserName};
use crate::oci::RepositoryName;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    users: Vec<UserName>,
    repositories: Vec<Pattern>,
    allow: Vec<Access>,
}

/// Repositories that a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `*`: every one.
    All,
    /// `team/*`: what is below, at any depth.
    Below(RepositoryName),
    /// `team/app`: this one.
    One(RepositoryName),
}

impl AccessRule {
    /// Reads a rule; an error says which text is not understood and what it should be.
    pub fn parse<T: AsRef<str>>(users: &[T], repositories: &[T], allow: &[T]) -> Result<Self, String> {
        let user = |text: &T| {
            text.as_ref().parse().map_err(|_| format!("{:?} is not the name of a user", text.as_ref()))
        };
        let access = |text: &T| match text.as_ref() {
            "pull" => Ok(Access::Pull),
            "push" => Ok(Access::Push),
            "delete" => Ok(Access::Delete),
            other => Err(format!("{other:?} is not pull, push or delete")),
        };
        Ok(Self {
            users: users.iter().map(user).collect::<Result<_, _>>()?,
            repositories: repositories.iter().map(Pattern::parse).collect::<Result<_, _>>()?,
            allow: allow.iter().map(access).collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn names(&self, user: &UserName) -> bool {
        self.users.contains(user)
    }

    /// Whether it allows this; `None` is every repository.
    pub(super) fn allows(&self, access: Access, repository: Option<&RepositoryName>) -> bool {
        self.of(access).iter().any(|pattern| match repository {
            Some(repository) => pattern.covers(repository),
            None => *pattern == Pattern::All,
        })
    }

    /// The repositories with which it allows this.
    pub(super) fn of(&self, access: Access) -> &[Pattern] {
        if self.allow.contains(&access) { &self.repositories } else { &[] }
    }
}

impl Pattern {
    fn parse<T: AsRef<str>>(text: &T) -> Result<Self, String> {
        let text = text.as_ref();
        let wrong = || format!("{text:?} is not *, the name of a repository, or the name of a path and /*");
        if text == "*" {
            return Ok(Self::All);
        }
        match text.strip_suffix("/*") {
            Some(path) => path.parse().map(Self::Below).map_err(|_| wrong()),
            None => text.parse().map(Self::One).map_err(|_| wrong()),
        }
    }

    /// Whether a repository is one of these.
    pub fn covers(&self, repository: &RepositoryName) -> bool {
        match self {
            Self::All => true,
            Self::Below(path) => {
                let below = repository.as_str().strip_prefix(path.as_str());
                below.is_some_and(|below| below.starts_with('/'))
            }
            Self::One(name) => repository == name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused() {
        let parse = |user: &str, repository: &str, allow: &str| {
            AccessRule::parse(&[user], &[repository], &[allow]).map(drop)
        };
        assert_eq!(parse("ana", "team/*", "pull"), Ok(()));
        for (user, repository, allow) in [
            ("a:b", "*", "pull"),
            ("ana", "Team", "pull"),
            ("ana", "*/app", "pull"),
            ("ana", "*", "all"),
            ("ana", "/*", "pull"),
        ] {
            assert!(parse(user, repository, allow).is_err(), "{user} {repository} {allow}");
        }
    }
}
