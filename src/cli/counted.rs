//! Numbers of things, for people.

/// `1 finding`, `2 findings`, `2 repositories`.
pub(super) fn counted(number: u64, thing: &str) -> String {
    match (number, thing.strip_suffix('y')) {
        (1, _) => format!("1 {thing}"),
        (number, Some(stem)) => format!("{number} {stem}ies"),
        (number, None) => format!("{number} {thing}s"),
    }
}

/// How many there are of a list.
pub(super) fn counted_in<T>(list: &[T], thing: &str) -> String {
    counted(list.len() as u64, thing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_all_else_is_many() {
        let found = [0, 1, 2].map(|number| counted(number, "finding"));
        assert_eq!(found, ["0 findings", "1 finding", "2 findings"]);
        assert_eq!(counted(1, "repository"), "1 repository");
        assert_eq!(counted(2, "repository"), "2 repositories");
        assert_eq!(counted_in(&[()], "error"), "1 error");
    }
}
