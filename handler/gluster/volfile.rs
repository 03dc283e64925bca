//! The text of a graph (a volfile), translator by translator.

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
        let value = self.option("transport.socket.ssl-enabled");
        matches!(value, Some("on" | "true" | "yes" | "enable" | "1"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volfile_is_read_translator_by_translator() {
        let text = "volume c\n    type protocol/client\n    option transport.socket.ssl-enabled on\nend-volume\n\n\
                    volume r\n    type cluster/replicate\n    option a 1\n    option a 2\n    subvolumes c d e\nend-volume\n";
        let read = translators(text);
        let [client, replicate] = read.as_slice() else { panic!("{read:?}") };
        assert_eq!((client.name, client.kind, client.is_encrypted()), ("c", "protocol/client", true));
        assert_eq!((replicate.option("a"), replicate.option("b")), (Some("2"), None));
        assert_eq!(replicate.children, ["c", "d", "e"]);
        assert!(!replicate.is_encrypted());
    }
}
