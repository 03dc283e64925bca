// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Volfile servers: which of them answer.

use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::glusterd::{Glusterd, SpecError};
use super::stream::{ANSWER_TIMEOUT, Server};
use super::volfile::Volfile;

/// Bounds the wait for a server's sign of life where no other answers. One thread of glusterd's
/// serves all connections, and waits with a command of an admin for its big lock (10.3,
/// `glusterd_big_locked_handler`): on a busy cluster that takes seconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(15);

/// Whether a server of a configuration answers.
#[derive(Debug)]
pub struct ServerProbe {
    /// `HOST:PORT`, or a socket.
    pub server: String,
    /// Why it does not.
    pub outcome: io::Result<()>,
}

/// A server that was tried, and why it does not serve.
#[derive(Debug)]
pub struct Unreachable {
    pub(super) server: Server,
    pub(super) why: io::Error,
}

/// A volfile, and the connection to the server that gave it, which goes on to say when it changes.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) volfile: Volfile,
    /// Whether the bricks call fsync for a write with `O_DSYNC`.
    pub(super) honours_dsync: bool,
    pub(super) glusterd: Glusterd,
}

/// Why no server gave a volfile.
#[derive(Debug)]
pub(super) enum FetchError {
    /// None answers as a glusterd does.
    NoServer(Vec<Unreachable>),
    /// One does, and refuses.
    Refused { server: Server, errno: Errno },
}

/// Asks the servers in turn, up to the first that answers, for the volfile of `volume`. Blocks:
/// some seconds for each that is silent.
///
/// # Errors
/// [`FetchError`].
pub(super) fn fetch<'a>(
    servers: impl IntoIterator<Item = &'a Server>,
    volume: &str,
    op_version: u32,
) -> Result<Fetched, FetchError> {
    // What a server has said, or why to ask another one.
    let ask = |server: &Server, patience| match fetch_from(server, volume, op_version, patience) {
        Ok(fetched) => Ok(Ok(fetched)),
        Err(SpecError::Refused(errno)) => {
            Ok(Err(FetchError::Refused { server: server.clone(), errno }))
        }
        Err(SpecError::Server(why)) => Err(why),
    };
    let mut dead = Vec::new();
    for server in servers {
        match ask(server, ANSWER_TIMEOUT) {
            Ok(answer) => return answer,
            Err(why) => dead.push(Unreachable { server: server.clone(), why }),
        }
    }
    // No better one is left: a server that takes connections may be busy, and not hang.
    for Unreachable { server, why } in &mut dead {
        if why.kind() == io::ErrorKind::TimedOut {
            match ask(server, BUSY_TIMEOUT) {
                Ok(answer) => return answer,
                Err(other) => *why = other,
            }
        }
    }
    Err(FetchError::NoServer(dead))
}

/// Asks one server, which has `patience` for a sign of life: one that hangs has a kernel that takes
/// connections all the same.
fn fetch_from(
    server: &Server,
    volume: &str,
    op_version: u32,
    patience: Duration,
) -> Result<Fetched, SpecError> {
    let mut glusterd = Glusterd::connect(server).map_err(SpecError::Server)?;
    glusterd.ping(patience).map_err(SpecError::Server)?;
    let (volfile, honours_dsync) = glusterd.volfile(volume, op_version)?;
    Ok(Fetched { volfile, honours_dsync, glusterd })
}

/// Tries all of them at once. One that has not answered within `patience` is taken not to.
pub(super) fn probe_servers(servers: &[Server], patience: Duration) -> Vec<ServerProbe> {
    let begin = Instant::now();
    let ask = |server: &Server| {
        let (sender, answer) = sync_channel(1);
        let asked = server.clone();
        let thread = Builder::new().name(String::from("glfs-call"));
        let asking = thread.spawn(move || {
            sender.send(Glusterd::connect(&asked).and_then(|mut glusterd| glusterd.ping(patience)))
        });
        (server.to_string(), asking.map(|_| answer))
    };
    // All are asked before the first is waited for.
    let asked: Vec<_> = servers.iter().map(ask).collect();
    let late = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
    let answer = |(server, answer): (String, io::Result<Receiver<io::Result<()>>>)| ServerProbe {
        server,
        outcome: answer.and_then(|answer| {
            answer.recv_timeout(patience.saturating_sub(begin.elapsed())).unwrap_or_else(late)
        }),
    };
    asked.into_iter().map(answer).collect()
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.server, self.why)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const ENOUGH: u32 = 110_000;

    fn at(port: u16) -> Server {
        Server::Tcp { host: String::from("127.0.0.1"), port }
    }

    /// A server of one connection, which answers a ping, and gives `answer` to whatever it is asked
    /// then.
    fn answering(answer: Vec<u8>) -> Server {
        answering_later(Duration::ZERO, answer)
    }

    /// Like [`answering`], but takes no notice of anything for `busy`.
    fn answering_later(busy: Duration, answer: Vec<u8>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = move || {
            std::thread::sleep(busy);
            // Connections that have been given up come first.
            while !is_served(&listener.accept().unwrap().0, &answer) {}
        };
        Builder::new().name(String::from("answering")).spawn(serve).unwrap();
        at(port)
    }

    /// Whether the peer was there for its answer.
    fn is_served(mut stream: &TcpStream, answer: &[u8]) -> bool {
        let mut request = [0; 4096];
        let _ping = stream.read(&mut request).unwrap();
        let pong = stream.write_all(&words(&[0x8000_0018, 1, 1, 0, 0, 0, 0]));
        let question = pong.and_then(|()| stream.read(&mut request)).unwrap_or(0);
        question > 0 && stream.write_all(answer).is_ok()
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    /// A GETSPEC reply to the second call of a connection.
    fn spec(result: u32, errno: u32, text: &str) -> Vec<u8> {
        let mut body =
            words(&[2, 1, 0, 0, 0, 0, result, errno, u32::try_from(text.len()).unwrap()]);
        body.extend(text.as_bytes());
        body.resize(body.len().next_multiple_of(4) + 4, 0);
        [words(&[0x8000_0000 | u32::try_from(body.len()).unwrap()]), body].concat()
    }

    fn whole() -> String {
        "volume v-client-0\n    type protocol/client\nend-volume\n\n\
         volume v\n    type debug/io-stats\n    subvolumes v-client-0\nend-volume\n"
            .to_owned()
    }

    fn given(text: &str) -> Vec<u8> {
        spec(u32::try_from(text.len()).unwrap(), 0, text)
    }

    #[test]
    fn the_first_server_that_answers_gives_the_volfile() {
        let alive = answering(given(&whole()));
        // Port 9 is discard's, and nobody runs it.
        let fetched = fetch(&[at(9), alive.clone(), at(1)], "v", ENOUGH).unwrap();
        assert_eq!((&fetched.glusterd.server, fetched.volfile.text()), (&alive, whole().as_str()));
    }

    #[test]
    fn a_server_that_is_busy_is_waited_for_only_where_no_other_answers() {
        let busy = ANSWER_TIMEOUT + Duration::from_millis(500);
        let begin = Instant::now();
        let fetched = fetch(&[at(9), answering_later(busy, given(&whole()))], "v", ENOUGH).unwrap();
        assert_eq!(fetched.volfile.text(), whole());
        assert!(begin.elapsed() >= busy);
        let (busy, idle) = (answering_later(busy * 4, Vec::new()), answering(given(&whole())));
        let fetched = fetch(&[busy, idle.clone()], "v", ENOUGH).unwrap();
        assert_eq!(fetched.glusterd.server, idle);
        assert!(begin.elapsed() < ANSWER_TIMEOUT * 4, "{:?}", begin.elapsed());
    }

    #[test]
    fn every_dead_server_is_named_with_its_reason() {
        let servers = [at(9), Server::Unix { socket: String::from("/no/such.sock") }];
        let Err(FetchError::NoServer(dead)) = fetch(&servers, "v", ENOUGH) else {
            panic!("a server answered")
        };
        let text: Vec<String> = dead.iter().map(ToString::to_string).collect();
        assert!(
            text[0].starts_with("127.0.0.1:9: ") && text[1].starts_with("/no/such.sock: "),
            "{text:?}"
        );
    }

    #[test]
    fn rubbish_and_halves_and_giants_are_no_volfiles_and_a_refusal_is_final() {
        let half = whole().replace("end-volume\n\n", "");
        for (answer, why) in [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "more than a volfile has"),
            (words(&[0x8000_0004, 7]), "does not speak"),
            (given(&half), "the volfile is broken"),
            (
                given("volume v-client-0\n    type protocol/client\nend-volume\n"),
                "the volfile ends with",
            ),
            (spec(5000, 0, &whole()), "of a volfile of 5000"),
            (words(&[0x8000_0000 | (10 << 20)]), "more than a volfile has"),
            (Vec::new(), "hangs up"),
        ] {
            match fetch(&[answering(answer)], "v", ENOUGH) {
                Err(FetchError::NoServer(dead)) => {
                    assert!(dead[0].to_string().contains(why), "{why}: {dead:?}");
                }
                other => panic!("{why}: {other:?}"),
            }
        }
        let unknown = fetch(&[answering(spec(u32::MAX, 2, "")), at(9)], "v", ENOUGH);
        assert!(
            matches!(unknown, Err(FetchError::Refused { errno: Errno::ENOENT, .. })),
            "{unknown:?}"
        );
    }
}
