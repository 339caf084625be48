//! Follows the framing of HTTP/1.1 requests byte by byte, before hyper reads them.
//!
//! hyper quietly prefers `Transfer-Encoding` when a request also has `Content-Length`, drops the latter before
//! anybody can see it, and takes a bare LF for a line end. Behind a proxy that decides otherwise, this is
//! request smuggling (RFC 9112 sections 2.2, 6.1 and 11.2), so such a request is refused. The scanner is
//! stricter than hyper: whatever it lets pass, both cut into the same messages.

/// Longest `Content-Length` or `Transfer-Encoding` line, and longest chunk-size line with extensions, in bytes.
const LONGEST_FRAMING_LINE: usize = 256;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FramingError {
    #[error("both Transfer-Encoding and Content-Length")]
    Ambiguous,
    #[error("Content-Length is no number, or given twice with different values")]
    ContentLength,
    #[error("a transfer encoding other than chunked")]
    TransferEncoding,
    #[error("a line that does not end in CR LF")]
    LineEnd,
    #[error("a malformed chunk")]
    Chunk,
}

/// Where in the stream of requests the next byte stands.
#[derive(Debug, Default)]
pub(super) struct FramingScanner {
    state: State,
    /// The current line, up to [`LONGEST_FRAMING_LINE`] bytes and without its line end.
    line: Vec<u8>,
    line_overflow: bool,
    after_cr: bool,
    head: Head,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between requests; empty lines before a request are allowed (RFC 9112 section 2.2).
    #[default]
    Start,
    RequestLine,
    Header,
    Fixed(u64),
    ChunkSize,
    ChunkData(u64),
    /// The CR LF after a chunk's data; the flag says that the CR was seen.
    ChunkEnd(bool),
    Trailer,
}

#[derive(Debug, Default)]
struct Head {
    content_length: Option<u64>,
    chunked: bool,
}

impl FramingScanner {
    /// Whether a request has begun and is not yet read to its end.
    pub(super) fn is_mid_message(&self) -> bool {
        self.state != State::Start
    }

    /// Whether a request head has begun and is not yet complete.
    pub(super) fn is_mid_head(&self) -> bool {
        matches!(self.state, State::RequestLine | State::Header)
    }

    /// Follows `bytes`; on an error also says at which index the offending byte stands.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<(), (usize, FramingError)> {
        let mut index = 0;
        while index < bytes.len() {
            let left = bytes.len() - index;
            match &mut self.state {
                State::Fixed(rest) | State::ChunkData(rest) => {
                    let step = usize::try_from(*rest).unwrap_or(usize::MAX).min(left);
                    *rest -= step as u64;
                    index += step;
                    self.leave_finished_data();
                }
                State::ChunkEnd(seen_cr) => {
                    match (*seen_cr, bytes[index]) {
                        (false, b'\r') => *seen_cr = true,
                        (true, b'\n') => self.enter(State::ChunkSize),
                        _ => return Err((index, FramingError::Chunk)),
                    }
                    index += 1;
                }
                State::Start | State::RequestLine | State::Header | State::ChunkSize | State::Trailer => {
                    self.line_byte(bytes[index]).map_err(|error| (index, error))?;
                    index += 1;
                }
            }
        }
        Ok(())
    }

    fn leave_finished_data(&mut self) {
        match self.state {
            State::Fixed(0) => self.enter(State::Start),
            State::ChunkData(0) => self.enter(State::ChunkEnd(false)),
            _ => {}
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.line.clear();
        self.line_overflow = false;
        self.after_cr = false;
        if state == State::Start {
            self.head = Head::default();
        }
    }

    fn line_byte(&mut self, byte: u8) -> Result<(), FramingError> {
        match (self.after_cr, byte) {
            (true, b'\n') => return self.line_complete(),
            (true, _) | (false, b'\n') => return Err(FramingError::LineEnd),
            (false, b'\r') => self.after_cr = true,
            (false, _) if self.line.len() < LONGEST_FRAMING_LINE => self.line.push(byte),
            (false, _) => self.line_overflow = true,
        }
        if self.state == State::Start && byte != b'\r' {
            self.state = State::RequestLine;
        }
        Ok(())
    }

    fn line_complete(&mut self) -> Result<(), FramingError> {
        let next = match self.state {
            State::Start => State::Start,
            State::RequestLine => State::Header,
            State::Header if self.line.is_empty() => self.body()?,
            State::Header => {
                self.header_line()?;
                State::Header
            }
            State::ChunkSize => match self.chunk_size()? {
                0 => State::Trailer,
                size => State::ChunkData(size),
            },
            State::Trailer if self.line.is_empty() => State::Start,
            State::Trailer => State::Trailer,
            State::Fixed(_) | State::ChunkData(_) | State::ChunkEnd(_) => return Err(FramingError::LineEnd),
        };
        self.enter(next);
        Ok(())
    }

    /// How the body that follows the finished head is framed.
    fn body(&self) -> Result<State, FramingError> {
        match (self.head.chunked, self.head.content_length) {
            (true, Some(_)) => Err(FramingError::Ambiguous),
            (true, None) => Ok(State::ChunkSize),
            (false, Some(0) | None) => Ok(State::Start),
            (false, Some(length)) => Ok(State::Fixed(length)),
        }
    }

    fn header_line(&mut self) -> Result<(), FramingError> {
        let Some(colon) = self.line.iter().position(|byte| *byte == b':') else {
            return Ok(()); // hyper refuses it
        };
        let (name, value) = (&self.line[..colon], self.line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = decimal(value).filter(|_| !self.line_overflow);
            if length.is_none() || self.head.content_length.is_some_and(|before| Some(before) != length) {
                return Err(FramingError::ContentLength);
            }
            self.head.content_length = length;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.line_overflow || self.head.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(FramingError::TransferEncoding);
            }
            self.head.chunked = true;
        }
        Ok(())
    }

    fn chunk_size(&self) -> Result<u64, FramingError> {
        let end = self.line.iter().position(|byte| *byte == b';').unwrap_or(self.line.len());
        let digits = self.line[..end].trim_ascii_end();
        if self.line_overflow || digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(FramingError::Chunk);
        }
        let text = str::from_utf8(digits).map_err(|_| FramingError::Chunk)?;
        u64::from_str_radix(text, 16).map_err(|_| FramingError::Chunk)
    }
}

/// Digits only: Rust's own parser would also take a plus sign.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Feeds `bytes` whole, then one by one: the verdict must not depend on how the network cuts them.
    #[track_caller]
    fn check(bytes: &str, expected: Result<bool, FramingError>) {
        let mut whole = FramingScanner::default();
        let verdict = whole.advance(bytes.as_bytes()).map(|()| whole.is_mid_message());
        assert_eq!(verdict.map_err(|(_, error)| error), expected, "{bytes:?}");
        let mut single = FramingScanner::default();
        let verdict = bytes.bytes().try_for_each(|byte| single.advance(&[byte]));
        assert_eq!(
            verdict.map(|()| single.is_mid_message()).map_err(|(_, error)| error),
            expected,
            "{bytes:?}"
        );
    }

    #[test]
    fn whole_messages_end_between_messages() {
        check("", Ok(false));
        check("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(false));
        check("PUT / HTTP/1.1\r\ncontent-length:  3 \r\n\r\nabcGET / HTTP/1.1\r\n\r\n", Ok(false));
        check("PUT / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", Ok(false));
        check(
            "PUT / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n",
            Ok(false),
        );
        check(
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            Ok(false),
        );
    }

    #[test]
    fn unfinished_messages_are_seen() {
        check("G", Ok(true));
        check("GET / HTTP/1.1\r\n", Ok(true));
        check("PUT / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabc", Ok(true));
        check("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", Ok(true));
        check("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", Ok(true));
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        use FramingError::{Ambiguous, Chunk, ContentLength, LineEnd, TransferEncoding};
        check("PUT / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", Err(Ambiguous));
        check("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", Err(Ambiguous));
        check("PUT / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n", Err(ContentLength));
        check("PUT / HTTP/1.1\r\nContent-Length: +3\r\n", Err(ContentLength));
        check("PUT / HTTP/1.1\r\nContent-Length: 3, 3\r\n", Err(ContentLength));
        check("PUT / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n", Err(ContentLength));
        check("PUT / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n", Err(TransferEncoding));
        check(
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            Err(TransferEncoding),
        );
        check("PUT / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n", Err(TransferEncoding));
        check("GET / HTTP/1.1\nHost: a\r\n", Err(LineEnd));
        check("GET / HTTP/1.1\r\nA: b\rC: d\r\n", Err(LineEnd));
        for chunk in ["x\r\n", "\r\n", "-1\r\n", "11111111111111111\r\n", "1\r\nab\r\n", "3\r\nabc0\r\n"] {
            check(&format!("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"), Err(Chunk));
        }
        check("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc", Err(LineEnd));
    }

    #[test]
    fn a_padded_framing_header_is_not_overlooked() {
        let padding = " ".repeat(LONGEST_FRAMING_LINE);
        check(&format!("PUT / HTTP/1.1\r\nContent-Length:{padding}3\r\n"), Err(FramingError::ContentLength));
        check(
            &format!("PUT / HTTP/1.1\r\nTransfer-Encoding:{padding}chunked\r\n"),
            Err(FramingError::TransferEncoding),
        );
        check(&format!("GET / HTTP/1.1\r\nCookie:{padding}3\r\n\r\n"), Ok(false));
    }
}
