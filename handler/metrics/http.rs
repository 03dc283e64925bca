// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! One question over a socket, and its answer: as much of HTTP/1.0 as it takes.

use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, send};

use super::encode::Format;

/// How long a client may take for its question, and again for taking the answer. Others wait
/// meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a question. Prometheus' own have some 300.
const LONGEST: usize = 4096;

/// Answers a client. What goes wrong is the client's affair: it has hung up, or is too slow.
pub(super) fn answer(
    mut stream: UnixStream,
    text: impl FnOnce(Format) -> String,
) -> io::Result<()> {
    let question = read(&mut stream)?;
    let (status, content_type, body) = match interpret(&question) {
        Ok(format) => ("200 OK", format.content_type(), text(format)),
        Err(status) => (
            status,
            Format::Classic.content_type(),
            format!("{status}; the numbers are at /metrics\n"),
        ),
    };
    let head = format!(
        "HTTP/1.0 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let body = if question.starts_with("HEAD ") { String::new() } else { body };
    write(&stream, (head + &body).as_bytes())
}

/// What is asked for, or why it cannot be had.
fn interpret(question: &str) -> Result<Format, &'static str> {
    let mut lines = question.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next())
    else {
        return Err("400 Bad Request");
    };
    if !version.starts_with("HTTP/1.") {
        return Err("400 Bad Request");
    }
    if !matches!(method, "GET" | "HEAD") {
        return Err("405 Method Not Allowed");
    }
    if target.split('?').next() != Some("/metrics") {
        return Err("404 Not Found");
    }
    let accepts = |line: &str| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case("accept").then(|| value.contains("application/openmetrics-text"))
    };
    let openmetrics = lines.filter_map(accepts).any(|accepts| accepts);
    Ok(if openmetrics { Format::OpenMetrics } else { Format::Classic })
}

/// The question, to the blank line after it.
fn read(stream: &mut UnixStream) -> io::Result<String> {
    let begin = Instant::now();
    let mut question = Vec::new();
    while !question.windows(2).any(|end| end == b"\n\n")
        && !question.windows(4).any(|end| end == b"\r\n\r\n")
    {
        let left = PATIENCE
            .checked_sub(begin.elapsed())
            .filter(|left| !left.is_zero())
            .ok_or(io::ErrorKind::TimedOut)?;
        stream.set_read_timeout(Some(left))?;
        let mut piece = [0; 1024];
        let bytes = stream.read(&mut piece)?;
        question.extend_from_slice(piece.get(..bytes).unwrap_or_default());
        if bytes == 0 || question.len() > LONGEST {
            // Not a question.
            return Ok(String::new());
        }
    }
    Ok(String::from_utf8_lossy(&question).into_owned())
}

/// Not by the stream's own `write`: a client that has hung up must not raise SIGPIPE in the daemon.
fn write(stream: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    let begin = Instant::now();
    while !bytes.is_empty() {
        let left = PATIENCE
            .checked_sub(begin.elapsed())
            .filter(|left| !left.is_zero())
            .ok_or(io::ErrorKind::TimedOut)?;
        stream.set_write_timeout(Some(left))?;
        let sent = send(stream.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL)?;
        bytes = bytes.get(sent..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_what_the_client_accepts() {
        let get = |rest: &str| interpret(&format!("GET /metrics HTTP/1.1\r\n{rest}\r\n"));
        assert_eq!(get(""), Ok(Format::Classic));
        assert_eq!(get("Accept: */*\r\n"), Ok(Format::Classic));
        let prometheus =
            "Host: x\r\naccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.3\r\n";
        assert_eq!(get(prometheus), Ok(Format::OpenMetrics));
        assert_eq!(get("X-Other: application/openmetrics-text\r\n"), Ok(Format::Classic));
    }

    #[test]
    fn what_is_no_question_for_numbers_is_told_so() {
        assert_eq!(interpret("HEAD /metrics?x=1 HTTP/1.0\r\n\r\n"), Ok(Format::Classic));
        assert_eq!(interpret("GET / HTTP/1.1\r\n\r\n"), Err("404 Not Found"));
        assert_eq!(interpret("POST /metrics HTTP/1.1\r\n\r\n"), Err("405 Method Not Allowed"));
        for garbage in ["", "\r\n", "GET", "GET /metrics", "GET /metrics FTP/1\r\n"] {
            assert_eq!(interpret(garbage), Err("400 Bad Request"), "{garbage}");
        }
    }
}
