// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Keys whose values are words: an enum for each, the default first.

use super::error::ConfigError;

/// Defines enums, each with the values of a key as its variants.
macro_rules! values {
    ($($(#[$doc:meta])* $name:ident {
        $(#[$first_doc:meta])* $first:ident = $first_text:literal,
        $($(#[$other_doc:meta])* $other:ident = $other_text:literal,)+
    })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub enum $name {
            $(#[$first_doc])* #[default] $first,
            $($(#[$other_doc])* $other,)+
        }

        impl $name {
            /// The values as the table of keys lists them.
            pub(super) const WORDS: &'static str = concat!($first_text $(, ", ", $other_text)+);

            pub(super) fn parse(key: &'static str, value: &str) -> Result<Self, ConfigError> {
                match value {
                    $first_text => Ok(Self::$first),
                    $($other_text => Ok(Self::$other),)+
                    _ => Err(ConfigError::not_one_of(key, value, Self::WORDS)),
                }
            }

            pub(crate) fn text(self) -> &'static str {
                match self {
                    Self::$first => $first_text,
                    $(Self::$other => $other_text,)+
                }
            }
        }
    )+};
}

values! {
    /// Transport to glusterd.
    Transport {
        /// To HOST and `port=`.
        Tcp = "tcp",
        /// To `socket=` on this host.
        Unix = "unix",
    }
    /// When a write is acknowledged.
    Cache {
        /// When the bricks have it: it survives the gateway. Initiators flush.
        None = "none",
        /// Before: the client may hold it back until a flush. For LUNs with one path only.
        Writeback = "writeback",
        /// When it is on the bricks' disks: initiators need not flush.
        Through = "through",
    }
    /// Between which LUNs an EXTENDED COPY may copy.
    CopyRange {
        /// Within this one.
        Lun = "lun",
        /// From and to others of this daemon that have it too, as far as every initiator of this
        /// one may use them.
        Daemon = "daemon",
    }
    /// Whether initiators may write.
    Access {
        /// If the volume permits it; read-only where it answers EROFS or EACCES.
        Auto = "auto",
        /// Or the open fails.
        ReadWrite = "rw",
        /// Read-only.
        ReadOnly = "ro",
    }
    /// The client-side io-threads translator.
    IoThreads {
        /// Off: the hand-over between threads costs more than it brings.
        Auto = "auto",
        /// As the volume has it.
        On = "on",
        /// Passed through.
        Off = "off",
    }
    /// Whether LUNs of one volume share a connection.
    Connection {
        /// With every LUN that connects in the same way.
        Shared = "shared",
        /// A connection of its own.
        Own = "own",
    }
    /// Whether the bricks refuse a gateway that has lost the LUN to another one.
    Fence {
        /// If the volume can; otherwise a LUN that gateways share is warned about.
        Auto = "auto",
        /// Not fenced.
        Off = "off",
        /// Fenced, or the LUN does not serve.
        Required = "required",
    }
    /// What makes a LUN as large as an image that has grown.
    Grow {
        /// The monitor, once the image is not being filled any more; and the admin.
        Auto = "auto",
        /// The admin alone, by `dev_size`.
        Manual = "manual",
    }
    /// What an open does when the cluster cannot be reached.
    OnUnreachable {
        /// The LUN comes up, is not ready, and the open is retried.
        Defer = "defer",
        /// The open fails.
        Fail = "fail",
    }
    /// Level of libgfapi's own log.
    LogLevel {
        /// `GF_LOG_WARNING`.
        Warning = "warning",
        /// `GF_LOG_CRITICAL`.
        Critical = "critical",
        /// `GF_LOG_ERROR`.
        Error = "error",
        /// `GF_LOG_INFO`.
        Info = "info",
        /// `GF_LOG_DEBUG`.
        Debug = "debug",
        /// `GF_LOG_TRACE`.
        Trace = "trace",
    }
}

impl Grow {
    /// Default of an image. gluster-block makes an image larger, then fills it, then sets
    /// `dev_size` (0.5.1, `block_svc_routines.c`): an initiator that learns of the size before the
    /// fill loses what it writes.
    pub(super) fn default_for(path: &str) -> Self {
        if path.trim_start_matches('/').starts_with("block-store/") {
            Self::Manual
        } else {
            Self::Auto
        }
    }
}
