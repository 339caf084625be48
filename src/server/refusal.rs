//! The answers to what is not HTTP at all. hyper gives them without a body; a registry's client expects JSON.

/// What hyper begins its own answers with, and what the client is sent in their place.
const ANSWERS: [(&[u8], &[u8]); 3] =
    [(b"HTTP/1.1 400 ", MALFORMED), (b"HTTP/1.1 414 ", TOO_LARGE), (b"HTTP/1.1 431 ", TOO_LARGE)];

const MALFORMED: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
content-type: application/json\r\n\
docker-distribution-api-version: registry/2.0\r\n\
x-content-type-options: nosniff\r\n\
connection: close\r\n\
content-length: 83\r\n\r\n\
{\"errors\":[{\"code\":\"UNSUPPORTED\",\"message\":\"the request is not well-formed HTTP\"}]}";

const TOO_LARGE: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\n\
content-type: application/json\r\n\
docker-distribution-api-version: registry/2.0\r\n\
x-content-type-options: nosniff\r\n\
connection: close\r\n\
content-length: 85\r\n\r\n\
{\"errors\":[{\"code\":\"SIZE_INVALID\",\"message\":\"the head of the request is too large\"}]}";

/// What to send in place of `answer`, when that is one that hyper made itself: without a body and without the
/// request id that every answer of ours has.
pub(super) fn in_place_of(answer: &[u8]) -> Option<&'static [u8]> {
    let (_, refusal) = ANSWERS.iter().find(|(start, _)| answer.starts_with(start))?;
    let has = |text: &[u8]| answer.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text));
    (has(b"\r\ncontent-length: 0\r\n") && !has(b"\r\nx-request-id:")).then_some(*refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_as_long_as_it_says() {
        for answer in [MALFORMED, TOO_LARGE] {
            let text = std::str::from_utf8(answer).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(
                head.contains(&format!("content-length: {}", body.len())),
                "{} bytes: {text}",
                body.len()
            );
            serde_json::from_str::<serde_json::Value>(body).unwrap();
        }
    }

    #[test]
    fn only_bare_answers_are_replaced() {
        assert!(in_place_of(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\ndate: x\r\n\r\n").is_some());
        for ours in [
            &b"HTTP/1.1 400 Bad Request\r\ncontent-length: 12\r\n\r\n"[..],
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nx-request-id: 1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            b"",
        ] {
            assert!(in_place_of(ours).is_none());
        }
    }
}
