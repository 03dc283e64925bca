// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The text of a graph (a volfile), translator by translator.

use std::fmt;

/// The volfile of a connection.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Volfile(String);

/// One translator.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Translator<'a> {
    /// What the graph calls it.
    pub name: &'a str,
    /// `protocol/client`, `cluster/replicate`, ...
    pub kind: &'a str,
    /// Keys and values, as they are written.
    pub options: Vec<(&'a str, &'a str)>,
    /// Those below it.
    pub children: Vec<&'a str>,
}

impl<'a> Translator<'a> {
    /// The value of an option that is given.
    #[must_use]
    pub fn option(&self, key: &str) -> Option<&'a str> {
        self.options.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    /// It connects to its brick with TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.option("transport.socket.ssl-enabled").is_some_and(is_on)
    }
}

/// Reads a volfile. In its order: who stands below comes first.
#[must_use]
pub fn translators(volfile: &str) -> Vec<Translator<'_>> {
    let mut translators: Vec<Translator<'_>> = Vec::new();
    for line in volfile.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["volume", name] = words.as_slice() {
            translators.push(Translator { name, ..Translator::default() });
        }
        let Some(translator) = translators.last_mut() else { continue };
        match words.as_slice() {
            ["type", kind] => translator.kind = kind,
            ["option", key, value, ..] => translator.options.push((key, value)),
            ["subvolumes", children @ ..] => translator.children = children.to_vec(),
            _ => {}
        }
    }
    translators
}

/// A boolean, as GlusterFS reads it (10.3, `gf_string2boolean`).
#[must_use]
pub fn is_on(value: &str) -> bool {
    ["on", "yes", "true", "enable", "1"].iter().any(|on| value.eq_ignore_ascii_case(on))
}

/// Bytes, as GlusterFS writes them: `67108864`, `64MB`, `1GB`.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let shift = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "KB" => 10,
        "MB" => 20,
        "GB" => 30,
        "TB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Whether a brick with this volfile calls fsync for a write with `O_DSYNC` before it answers.
/// storage/posix does; not so the calls that replace its own where the volume has one of these
/// options on (6 to 11: `posix_aio_writev`, `posix_io_uring_writev`).
pub(super) fn brick_honours_dsync(volfile: &str) -> bool {
    let translators = translators(volfile);
    let posix = translators.iter().find(|translator| translator.kind == "storage/posix");
    posix.is_some_and(|posix| {
        ["linux-aio", "linux-io_uring"].iter().all(|key| {
            matches!(posix.option(key), None | Some("off" | "no" | "false" | "disable" | "0"))
        })
    })
}

impl Volfile {
    /// A volfile of this host's, taken as it is.
    pub(super) fn local(text: String) -> Self {
        Self(text)
    }

    /// What glusterd gave for `volume`. A graph that was cut off could be one that libgfapi takes,
    /// with bricks missing: so it must end with the translator of the volume's name, on top of all
    /// (10.3, `client_graph_builder`).
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn from_glusterd(text: String, volume: &str) -> Result<Self, String> {
        let count =
            |word| text.lines().filter(|line| line.split_whitespace().next() == Some(word)).count();
        let found = translators(&text);
        if found.is_empty()
            || found.len() != count("end-volume")
            || found.iter().any(|it| it.kind.is_empty())
        {
            return Err(String::from("the volfile is broken"));
        }
        match found.last() {
            Some(top) if top.name == volume => Ok(Self(text)),
            top => Err(format!(
                "the volfile ends with {}, not with {volume}",
                top.map_or("nothing", |top| top.name)
            )),
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// The connections to bricks; the daemon for snapshots is none.
    pub(super) fn clients(&self) -> Vec<Translator<'_>> {
        let is_snapd = |client: &Translator<'_>| {
            client.option("remote-subvolume").is_some_and(|of| of.starts_with("snapd-"))
        };
        let is_client = |translator: &Translator<'_>| {
            translator.kind == "protocol/client" && !is_snapd(translator)
        };
        translators(&self.0).into_iter().filter(is_client).collect()
    }

    /// glusterd's name for the volfile of the first brick (10.3, `build_volfile_path`).
    pub(super) fn brick_volfile_id(&self, volume: &str) -> Option<String> {
        let clients = self.clients();
        let brick = clients.first()?;
        let (host, path) = (brick.option("remote-host")?, brick.option("remote-subvolume")?);
        Some(format!("{volume}.{host}.{}", path.trim_start_matches('/').replace('/', "-")))
    }

    /// Whether it describes the graph of `other`. glusterd gives clients on its own host a user
    /// name and a password besides (10.3, `__server_getspec`): which server is asked makes no
    /// difference.
    pub(super) fn is_graph_of(&self, other: &Self) -> bool {
        fn graph(volfile: &Volfile) -> impl Iterator<Item = &str> {
            let is_credential = |line: &str| {
                let mut words = line.split_whitespace();
                words.next() == Some("option")
                    && matches!(words.next(), Some("username" | "password"))
            };
            volfile.0.lines().filter(move |line| !is_credential(line))
        }
        graph(self).eq(graph(other))
    }
}

/// It holds a password.
impl fmt::Debug for Volfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Volfile({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translator(name: &str, kind: &str, options: &str) -> String {
        format!("volume {name}\n    type {kind}\n{options}end-volume\n\n")
    }

    #[test]
    fn a_volfile_is_read_translator_by_translator() {
        let text = "volume c\n    type protocol/client\n    \
                    option transport.socket.ssl-enabled on\nend-volume\n\n\
                    volume r\n    type cluster/replicate\n    option a 1\n    option a 2\n    \
                    subvolumes c d e\nend-volume\n";
        let read = translators(text);
        let [client, replicate] = read.as_slice() else { panic!("{read:?}") };
        assert_eq!(
            (client.name, client.kind, client.is_encrypted()),
            ("c", "protocol/client", true)
        );
        assert_eq!((replicate.option("a"), replicate.option("b")), (Some("2"), None));
        assert_eq!(replicate.children, ["c", "d", "e"]);
        assert!(!replicate.is_encrypted());
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(
            ["64MB", "4194304", "1gb", "much", "", "99999999999TB"].map(parse_size),
            [Some(64 << 20), Some(4 << 20), Some(1 << 30), None, None, None]
        );
    }

    #[test]
    fn the_clients_of_a_graph_are_its_bricks() {
        let client = |name: &str, options: &str| translator(name, "protocol/client", options);
        let volfile = Volfile(
            client("v-client-0", "    option transport.socket.ssl-enabled on\n")
                + &client("v-client-1", "    option remote-subvolume /b\n")
                + &client("v-snapd-client", "    option remote-subvolume snapd-v\n")
                + &translator("v-dht", "cluster/distribute", ""),
        );
        let found: Vec<_> =
            volfile.clients().iter().map(|client| (client.name, client.is_encrypted())).collect();
        assert_eq!(found, [("v-client-0", true), ("v-client-1", false)]);
    }

    #[test]
    fn a_brick_honours_o_dsync_unless_it_has_calls_of_its_own() {
        let brick = |options: &str| translator("p", "storage/posix", options);
        assert!(brick_honours_dsync(&brick("    option directory /b\n")));
        assert!(brick_honours_dsync(&brick("    option linux-aio off\n")));
        assert!(!brick_honours_dsync(&brick("    option linux-aio on\n")));
        assert!(!brick_honours_dsync(&brick("    option linux-io_uring enable\n")));
        assert!(!brick_honours_dsync(&translator("p", "storage/other", "")));
        assert!(!brick_honours_dsync(""));
    }

    #[test]
    fn a_bricks_volfile_is_named_after_its_place() {
        let options = "    option remote-host 10.0.0.1\n    option remote-subvolume /bricks/a/b\n";
        let volfile = Volfile(translator("c", "protocol/client", options));
        assert_eq!(volfile.brick_volfile_id("v").as_deref(), Some("v.10.0.0.1.bricks-a-b"));
        assert_eq!(Volfile::local(String::new()).brick_volfile_id("v"), None);
    }

    #[test]
    fn credentials_make_no_other_graph_and_options_do() {
        let client = |options: &str| Volfile(translator("c", "protocol/client", options));
        let plain = client("    option ping-timeout 42\n");
        let trusted =
            client("    option ping-timeout 42\n    option username a-b\n    option password c\n");
        assert!(trusted.is_graph_of(&plain) && plain.is_graph_of(&trusted));
        assert!(!plain.is_graph_of(&client("    option ping-timeout 43\n")));
        assert!(!plain.is_graph_of(&client("")));
    }
}
