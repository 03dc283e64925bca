// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Serves one HTTP/1.0 request on a Unix socket.

use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, send};

use super::encode::Format;

/// Bounds the reading of a request, and the writing of its response. Other clients wait meanwhile.
const IO_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a request. Prometheus' own have some 300.
const MAX_REQUEST: usize = 4096;

/// Serves a client. An error concerns the client alone: it has hung up, or is too slow.
pub(super) fn answer(
    mut stream: UnixStream,
    text: impl FnOnce(Format) -> String,
) -> io::Result<()> {
    let request = read(&mut stream)?;
    let (status, content_type, body) = match parse(&request) {
        Ok(format) => ("200 OK", format.content_type(), text(format)),
        Err(status) => (
            status,
            Format::Prometheus.content_type(),
            format!("{status}; metrics are at /metrics\n"),
        ),
    };
    let head = format!(
        "HTTP/1.0 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: \
         close\r\n\r\n",
        body.len()
    );
    let body = if request.starts_with("HEAD ") { String::new() } else { body };
    write(&stream, (head + &body).as_bytes())
}

/// The format of the response, or an error status.
fn parse(request: &str) -> Result<Format, &'static str> {
    let mut lines = request.lines();
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
    Ok(if openmetrics { Format::OpenMetrics } else { Format::Prometheus })
}

/// Reads a request up to its blank line.
fn read(stream: &mut UnixStream) -> io::Result<String> {
    let begin = Instant::now();
    let mut request = Vec::new();
    while !request.windows(2).any(|end| end == b"\n\n")
        && !request.windows(4).any(|end| end == b"\r\n\r\n")
    {
        stream.set_read_timeout(Some(time_left(begin)?))?;
        let mut piece = [0; 1024];
        let bytes = stream.read(&mut piece)?;
        request.extend_from_slice(piece.get(..bytes).unwrap_or_default());
        if bytes == 0 || request.len() > MAX_REQUEST {
            // Not a request: answered with 400.
            return Ok(String::new());
        }
    }
    Ok(String::from_utf8_lossy(&request).into_owned())
}

/// Writes with `MSG_NOSIGNAL`: a client that has hung up must not raise SIGPIPE in the daemon.
fn write(stream: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    let begin = Instant::now();
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(time_left(begin)?))?;
        let sent = send(stream.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL)?;
        bytes = bytes.get(sent..).unwrap_or_default();
    }
    Ok(())
}

/// Until [`IO_TIMEOUT`] has passed since `begin`.
fn time_left(begin: Instant) -> io::Result<Duration> {
    let left = IO_TIMEOUT.checked_sub(begin.elapsed()).filter(|left| !left.is_zero());
    left.ok_or_else(|| io::ErrorKind::TimedOut.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_what_the_client_accepts() {
        let get = |rest: &str| parse(&format!("GET /metrics HTTP/1.1\r\n{rest}\r\n"));
        assert_eq!(get(""), Ok(Format::Prometheus));
        assert_eq!(get("Accept: */*\r\n"), Ok(Format::Prometheus));
        let prometheus =
            "Host: x\r\naccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.3\r\n";
        assert_eq!(get(prometheus), Ok(Format::OpenMetrics));
        assert_eq!(get("X-Other: application/openmetrics-text\r\n"), Ok(Format::Prometheus));
    }

    #[test]
    fn other_requests_get_an_error_status() {
        assert_eq!(parse("HEAD /metrics?x=1 HTTP/1.0\r\n\r\n"), Ok(Format::Prometheus));
        assert_eq!(parse("GET / HTTP/1.1\r\n\r\n"), Err("404 Not Found"));
        assert_eq!(parse("POST /metrics HTTP/1.1\r\n\r\n"), Err("405 Method Not Allowed"));
        for garbage in ["", "\r\n", "GET", "GET /metrics", "GET /metrics FTP/1\r\n"] {
            assert_eq!(parse(garbage), Err("400 Bad Request"), "{garbage}");
        }
    }
}
