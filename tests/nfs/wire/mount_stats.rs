//! `/proc/self/mountstats` of a client: how many calls of each kind it has sent to the file server.

use std::{
    collections::BTreeMap,
    ops::{AddAssign, Sub},
};

/// Calls by operation; an NFS 4 compound counts as the operation that it is named after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Calls(BTreeMap<String, u64>);

impl Calls {
    /// Those of the mount at `mount_point` since it was mounted.
    pub(super) fn parse(text: &str, mount_point: &str) -> Self {
        let start = format!(" mounted on {mount_point} with fstype nfs");
        let section = text.lines().skip_while(|line| !line.contains(&start)).skip(1);
        let section = section.take_while(|line| !line.starts_with("device "));
        let operations = section.skip_while(|line| line.trim() != "per-op statistics").skip(1);
        let count = |line: &str| {
            let (name, figures) = line.trim().split_once(": ")?;
            let sent = figures.split(' ').next()?.parse().ok()?;
            Some((name.to_owned(), sent))
        };
        let calls: BTreeMap<_, _> = operations.filter_map(count).collect();
        assert!(!calls.is_empty(), "no counters of {mount_point} in\n{text}");
        Self(calls)
    }

    pub(super) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub(super) fn of(&self, operation: &str) -> u64 {
        self.0.get(operation).copied().unwrap_or_default()
    }

    /// The operations that were called at all.
    pub(super) fn operations(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, count)| **count > 0).map(|(name, _)| name.as_str())
    }

    /// On one line, the most frequent first.
    pub(super) fn listed(&self) -> String {
        let mut called: Vec<_> = self.0.iter().filter(|(_, count)| **count > 0).collect();
        called.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        called.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    }
}

impl Sub for Calls {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self(self.0.into_iter().map(|(name, count)| (name.clone(), count - before.of(&name))).collect())
    }
}

impl AddAssign for Calls {
    fn add_assign(&mut self, more: Self) {
        for (name, count) in more.0 {
            *self.0.entry(name).or_default() += count;
        }
    }
}

#[test]
fn counters_are_those_of_the_mount() {
    let text = "device tmpfs mounted on /run with fstype tmpfs\n\
                device 10.0.0.1:/a mounted on /srv/a with fstype nfs4 statvers=1.1\n\topts:\trw\n\
                \tper-op statistics\n\t        NULL: 1 1 0 44 24 0 0 0 0\n\
                device 10.0.0.1:/b mounted on /srv/b with fstype nfs4 statvers=1.1\n\topts:\trw,vers=4.2\n\
                \tper-op statistics\n\t        READ: 0 0 0 0 0 0 0 0 0\n\t       WRITE: 12 12 0 99 9 0 1 1 0\n\
                \t      COMMIT: 3 3 0 99 9 0 1 1 0\n";
    let calls = Calls::parse(text, "/srv/b");
    assert_eq!((calls.of("NULL"), calls.of("WRITE"), calls.total()), (0, 12, 15));
    assert_eq!(calls.listed(), "WRITE 12, COMMIT 3");
    assert_eq!((calls.clone() - calls).total(), 0);
}
