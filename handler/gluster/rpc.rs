// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! ONC RPC version 2 (RFC 5531) in XDR (RFC 4506): the few messages that glusterd's handshake
//! needs.

use std::io;

/// The last fragment of a record (RFC 5531, section 11).
const LAST_FRAGMENT: u32 = 1 << 31;
const CALL: u32 = 0;
const REPLY: u32 = 1;
/// Of a reply, and of an accepted call (RFC 5531, section 9).
const ACCEPTED: u32 = 0;
const SUCCESS: u32 = 0;
const RPC_VERSION: u32 = 2;
/// Verifiers have at most 400 bytes (RFC 5531, section 8.2).
const LONGEST_VERIFIER: u32 = 400;

/// A procedure of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Procedure {
    pub(super) program: u32,
    pub(super) version: u32,
    pub(super) number: u32,
}

/// A message that has arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// The peer calls: glusterd's callbacks, which want no answer.
    Call(Procedure),
    /// An accepted call's result.
    Reply {
        /// Of the call.
        xid: u32,
        body: Decoder<'a>,
    },
}

/// A call as one record, without credentials.
pub(super) fn call(xid: u32, procedure: Procedure, body: Encoder) -> Vec<u8> {
    let Procedure { program, version, number } = procedure;
    let no_credentials_no_verifier = [0; 4];
    let mut message = Encoder::default();
    let words = [xid, CALL, RPC_VERSION, program, version, number];
    for word in words.into_iter().chain(no_credentials_no_verifier) {
        message.number(word);
    }
    message.0.extend(body.0);
    let header = LAST_FRAGMENT | u32::try_from(message.0.len()).unwrap_or(0);
    [header.to_be_bytes().as_slice(), &message.0].concat()
}

/// What a fragment's header says: its length in bytes, and whether it ends the record.
pub(super) fn fragment(header: [u8; 4]) -> (usize, bool) {
    let word = u32::from_be_bytes(header);
    (usize::try_from(word & !LAST_FRAGMENT).unwrap_or(usize::MAX), word & LAST_FRAGMENT != 0)
}

/// Reads a record.
///
/// # Errors
/// It is no RPC message, or a call was refused.
pub(super) fn parse(record: &[u8]) -> io::Result<Message<'_>> {
    let mut body = Decoder(record);
    let (xid, kind) = (body.number()?, body.number()?);
    match kind {
        CALL => {
            let (_rpc, program, version, number) =
                (body.number()?, body.number()?, body.number()?, body.number()?);
            Ok(Message::Call(Procedure { program, version, number }))
        }
        REPLY => {
            let refused = || Err(invalid("refuses the call"));
            if body.number()? != ACCEPTED {
                return refused();
            }
            let (_flavour, verifier) = (body.number()?, body.number()?);
            if verifier > LONGEST_VERIFIER {
                return Err(garbage());
            }
            body.skip(verifier)?;
            if body.number()? != SUCCESS {
                return refused();
            }
            Ok(Message::Reply { xid, body })
        }
        _ => Err(garbage()),
    }
}

/// Writes XDR.
#[derive(Debug, Default)]
pub(super) struct Encoder(Vec<u8>);

impl Encoder {
    pub(super) fn number(&mut self, number: u32) {
        self.0.extend(number.to_be_bytes());
    }

    /// A string, or opaque data of variable length.
    pub(super) fn opaque(&mut self, bytes: &[u8]) {
        self.number(u32::try_from(bytes.len()).unwrap_or(0));
        self.0.extend(bytes);
        let padding = bytes.len().next_multiple_of(4) - bytes.len();
        self.0.extend(std::iter::repeat_n(0, padding));
    }
}

/// Reads XDR.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    /// # Errors
    /// Nothing is left.
    pub(super) fn number(&mut self) -> io::Result<u32> {
        let (word, rest) = self.0.split_first_chunk().ok_or_else(garbage)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*word))
    }

    /// A string, or opaque data of variable length.
    ///
    /// # Errors
    /// Less is left than its length says.
    pub(super) fn opaque(&mut self) -> io::Result<&'a [u8]> {
        let len = self.number()?;
        let bytes = self.0;
        self.skip(len)?;
        usize::try_from(len).ok().and_then(|len| bytes.get(..len)).ok_or_else(garbage)
    }

    /// Passes over bytes and their padding.
    fn skip(&mut self, len: u32) -> io::Result<()> {
        let padded = len.checked_next_multiple_of(4).and_then(|len| usize::try_from(len).ok());
        self.0 = padded.and_then(|len| self.0.get(len..)).ok_or_else(garbage)?;
        Ok(())
    }
}

/// The peer speaks another protocol, or breaks off.
fn garbage() -> io::Error {
    invalid("does not speak glusterd's protocol")
}

pub(super) fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROCEDURE: Procedure = Procedure { program: 7, version: 1, number: 2 };

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn a_call_is_one_record_that_reads_back() {
        let mut body = Encoder::default();
        body.opaque(b"hello");
        let record = call(9, PROCEDURE, body);
        let (header, message) = record.split_first_chunk().unwrap();
        assert_eq!(fragment(*header), (message.len(), true));
        assert_eq!(parse(message).unwrap(), Message::Call(PROCEDURE));
        assert!(message.ends_with(b"\0\0\0\x05hello\0\0\0"));
    }

    #[test]
    fn a_reply_gives_its_results_and_a_refusal_is_an_error() {
        let reply = words(&[3, 1, 0, 0, 4, 0xffff_ffff, 0, 42]);
        let Message::Reply { xid, mut body } = parse(&reply).unwrap() else { panic!("no reply") };
        assert_eq!((xid, body.number().unwrap()), (3, 42));
        assert!(body.number().is_err());
        for refused in
            [&[3, 1, 1, 0, 0][..], &[3, 1, 0, 0, 0, 2], &[3, 1, 0, 0, 4000], &[3, 2], &[3]]
        {
            assert!(parse(&words(refused)).is_err(), "{refused:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
            if let Ok(Message::Reply { mut body, .. }) = parse(&bytes) {
                while body.opaque().is_ok_and(|read| !read.is_empty()) {}
            }
        }
    }
}
