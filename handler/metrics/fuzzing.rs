// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The metrics socket, for the fuzzers of `tests/fuzz`: compiled with `--cfg fuzzing` alone.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

/// Serves a client that sends `request` and nothing more. The response is complete.
pub fn http(request: &[u8]) {
    let Ok((ours, mut client)) = UnixStream::pair() else { return };
    let sent = client.write_all(request).and_then(|()| client.shutdown(Shutdown::Write));
    assert!(sent.is_ok(), "more than a socket takes");
    assert!(super::http::answer(ours, |_| String::from("a 1\n")).is_ok(), "not answered");
    let mut response = String::new();
    // Reset, if the request was longer than what is read of one.
    if client.read_to_string(&mut response).is_ok() {
        let head = response.split_once("\r\n\r\n").map(|(head, _)| head);
        assert!(head.is_some_and(|head| head.starts_with("HTTP/1.0 ")), "{response:?}");
    }
}

/// Converts OpenMetrics text.
pub fn to_prometheus(openmetrics: &str) -> String {
    super::prometheus_text::from_openmetrics(openmetrics)
}
