//! The paths above repositories, as a tree.

/// A path above some repositories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// All of it, as `lab/mri`.
    pub path: String,
    /// How many are above it.
    pub depth: usize,
    /// How many repositories are below it, at any depth.
    pub repositories: usize,
}

impl Namespace {
    /// Its last component.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// All paths above some repositories, each followed by those below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces(Vec<Namespace>);

impl Namespaces {
    /// Of names in the order of their path components, which puts those of a path next to each other.
    pub fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut all: Vec<Namespace> = Vec::new();
        // Places of the paths above the name before.
        let mut above: Vec<usize> = Vec::new();
        for name in names {
            let is_above = |place: &usize| {
                let rest = name.strip_prefix(&*all[*place].path);
                rest.is_some_and(|rest| rest.starts_with('/'))
            };
            above.truncate(above.iter().take_while(|place| is_above(place)).count());
            let mut known = above.last().map_or(0, |place| all[*place].path.len() + 1);
            while let Some(length) = name[known..].find('/') {
                let path = name[..known + length].to_owned();
                known += length + 1;
                above.push(all.len());
                all.push(Namespace { path, depth: above.len() - 1, repositories: 0 });
            }
            for place in &above {
                all[*place].repositories += 1;
            }
        }
        Self(all)
    }

    /// All of them.
    pub fn all(&self) -> &[Namespace] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_there_once_above_what_is_below_it() {
        let names =
            ["a", "a/b/c", "a/b/d", "a/e", "a-b/c", "lab/mri/x/one", "lab/mri/x/two", "lab/tool", "z"];
        let tree = Namespaces::of(names.into_iter());
        let shown: Vec<_> =
            tree.all().iter().map(|one| (&*one.path, one.name(), one.depth, one.repositories)).collect();
        assert_eq!(
            shown,
            [
                ("a", "a", 0, 3),
                ("a/b", "b", 1, 2),
                ("a-b", "a-b", 0, 1),
                ("lab", "lab", 0, 3),
                ("lab/mri", "mri", 1, 2),
                ("lab/mri/x", "x", 2, 2)
            ]
        );
    }
}
