//! A Dockerfile as far as an image tells: its history, in the words of a Dockerfile.

use crate::registry::image_summary::{ImageSummary, Step, SummaryKind};

const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// The text, or nothing for an image without a history.
pub(super) fn dockerfile(summary: &ImageSummary) -> Option<String> {
    let SummaryKind::Image(facts) = &summary.kind else { return None };
    if !facts.steps.iter().any(|step| !step.instruction.is_empty()) {
        return None;
    }
    let labels = facts.config.iter().flat_map(|config| &config.labels);
    let base = summary.annotations.iter().chain(labels).find(|(name, _)| name == BASE_NAME);
    let mut text = match base {
        Some((_, base)) => format!("# Built on {}\nFROM scratch\n", one_line(base)),
        None => "FROM scratch\n".to_owned(),
    };
    for step in &facts.steps {
        text.push_str(&line(step));
        text.push('\n');
    }
    Some(text)
}

/// The instruction without what the builders put around it.
pub(super) fn instruction(text: &str) -> &str {
    let text = text.trim().strip_prefix("/bin/sh -c #(nop)").unwrap_or(text).trim();
    text.strip_suffix("# buildkit").unwrap_or(text).trim()
}

fn line(step: &Step) -> String {
    const WORDS: [&str; 17] = [
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
    ];
    let text = instruction(&step.instruction);
    if text.is_empty() {
        return format!(
            "# A layer without a history{}",
            if step.comment.is_empty() { "" } else { ", with a comment" }
        );
    }
    let first = text.split_whitespace().next().unwrap_or_default();
    if first == "RUN" {
        // BuildKit writes the shell, and build arguments before it: `RUN |1 A=b /bin/sh -c make`.
        let command = text.split_once(" /bin/sh -c ").map_or(text[3..].trim_start(), |(_, command)| command);
        return format!("RUN {}", folded(command));
    }
    if WORDS.contains(&first) || first == "WORKDIR" {
        return folded(text);
    }
    match text.strip_prefix("/bin/sh -c ") {
        Some(command) => format!("RUN {}", folded(command)),
        None => format!("# {}", one_line(text)),
    }
}

/// As it would stand in a Dockerfile: a line goes on after a backslash.
fn folded(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let ended = lines.iter().map(|line| line.strip_suffix('\\').unwrap_or(line));
    ended.collect::<Vec<_>>().join(" \\\n").replace(" && ", " \\\n    && ")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(instruction: &str) -> String {
        line(&Step { instruction: instruction.to_owned(), ..Step::default() })
    }

    #[test]
    fn what_builders_add_is_taken_off() {
        assert_eq!(instruction("/bin/sh -c #(nop)  CMD [\"sh\"]"), "CMD [\"sh\"]");
        assert_eq!(instruction("RUN /bin/sh -c make # buildkit"), "RUN /bin/sh -c make");
        assert_eq!(instruction(""), "");
    }

    #[test]
    fn steps_become_lines_of_a_dockerfile() {
        assert_eq!(of("/bin/sh -c #(nop)  CMD [\"sh\"]"), "CMD [\"sh\"]");
        assert_eq!(of("RUN /bin/sh -c make # buildkit"), "RUN make");
        assert_eq!(
            of("RUN |1 A=b /bin/sh -c make && make install # buildkit"),
            "RUN make \\\n    && make install"
        );
        assert_eq!(of("/bin/sh -c apt-get update"), "RUN apt-get update");
        assert_eq!(of("WORKDIR /app"), "WORKDIR /app");
        assert_eq!(
            of("bazel build\n//:image"),
            "# bazel build //:image",
            "a line of its own cannot begin here"
        );
        assert_eq!(of(""), "# A layer without a history");
    }
}
