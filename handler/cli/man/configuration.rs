// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! tcmu-glfs(5): the cfgstring and the site file.

use handler_glfs::config::{KEYS, METRICS};

use super::page::Page;

const EXAMPLE: &str = "\
[defaults]                     # for every LUN
ping-timeout = 15

[profile.vmware]               # for those that say ;profile=vmware
server = [\"gluster2\", \"gluster3\"]
fence = \"required\"
outage = 60

[metrics]
slow = 0.5";

pub(super) fn page() -> String {
    let mut page = Page::new("tcmu-glfs", "5");
    page.section("NAME");
    page.text("tcmu-glfs - configuration of SCSI LUNs on GlusterFS volumes");
    page.section("SYNOPSIS");
    page.text("VOLUME@HOST/PATH[;KEY=VALUE]...");
    page.paragraph("/etc/tcmu/glfs.toml");
    page.section("DESCRIPTION");
    page.text(
        "A LUN of tcmu-runner's handler `glfs` is configured by its configuration string, which \
         targetcli(8) is given as `cfgstring=`. What LUNs share, and what the string has no room \
         for, stands in the site file. `tcmu-glfs check` (see tcmu-glfs(8)) tries a configuration \
         and says what is wrong with it.",
    );
    string(&mut page);
    page.section("KEYS");
    page.text(
        "After the place of the image, each after a semicolon. Of several values, the \
               default comes first.",
    );
    for key in KEYS {
        page.item(&format!("`{}`={}", key.name, key.values), &sentence(key.meaning));
    }
    site(&mut page);
    page.section("EXAMPLES");
    page.text(
        "A LUN with two servers that is refused unless the bricks can keep out all gateways \
               but one:",
    );
    page.example([
        "targetcli /backstores/user:glfs create name=d0 size=10G \\",
        "    cfgstring='vol@gluster1/disk.img;server=gluster2;fence=required'",
    ]);
    page.paragraph("A server that is named by its IPv6 address, fd00::1:");
    page.example(["vol@fd00%3A%3A1/disk.img"]);
    page.paragraph("A snapshot, read-only (the volume has features.uss on):");
    page.example(["vol@gluster1/.snaps/monday/disk.img;access=ro"]);
    end(&mut page);
    page.render()
}

fn string(page: &mut Page) {
    page.section("CONFIGURATION STRING");
    page.item("`VOLUME`", "The Gluster volume.");
    page.item(
        "`HOST`",
        "A server of its cluster, which is asked for the layout of the volume. It \
                         always comes first.",
    );
    page.item(
        "`PATH`",
        "The image, from the root of the volume. It must exist: `tcmu-glfs create` makes one.",
    );
    page.item("`KEY`=VALUE", "See below. Each may be given once; only `server` may be repeated.");
    page.subsection("Alphabet");
    page.text("The tools on the way to the kernel let through letters and digits of ASCII, and");
    page.example(["? ; & * $ ! # = _ \\ + / . < > ( ) ~ @ - % [ ]"]);
    page.paragraph(
        "Any other byte is written `%XX`, with two hexadecimal digits: a colon as %3A, a comma as \
         %2C, a blank as %20. So is a character that would end the part it stands in, such as a \
         semicolon in PATH (%3B), and the percent sign itself (%25). What is escaped must be \
         UTF-8; %00 is refused. In a shell, quote the string.",
    );
    page.subsection("Limits");
    page.text(
        "254 bytes, with the `glfs/` that the kernel has before it: it cuts off what is longer, \
         without a word. Longer lists go into a profile of the site file.",
    );
    page.paragraph("No secrets: every initiator can read the string (INQUIRY, VPD page 83h).");
}

fn site(page: &mut Page) {
    page.section("SITE FILE");
    page.text("TOML, on every gateway. It need not be there.");
    page.example(EXAMPLE.lines());
    page.paragraph(
        "A LUN takes a key from its configuration string; else from the profile that the string \
         names with `profile`; else from [defaults]; else it is what is built in. A key counts \
         whole: `server` in a string takes the place of the profile's list.",
    );
    page.paragraph(
        "The keys are those above, without `profile` and `tcmur_cmd_time_out`. `server` takes a \
         host or a list, and stands in \
         profiles only, as does `volfile`. Numbers may be written as such.",
    );
    page.paragraph(
        "The whole file is checked. A mistake is reported with file, line and column, and takes no \
         LUN down: the last valid version stays in use. `log-level` and [metrics] take effect \
         within 3 seconds, everything else when a LUN is opened next.",
    );
    page.subsection("[metrics]");
    page.text("What is counted, and where it is published.");
    for key in METRICS {
        page.item(&format!("`{}` = {}", key.name, key.values), &sentence(key.meaning));
    }
}

fn end(page: &mut Page) {
    page.section("FILES");
    page.item("/etc/tcmu/glfs.toml", "The site file.");
    page.item("/var/lib/tcmu-glfs/glfs.toml", "Its last valid version.");
    page.item("/var/log/tcmu-runner.log", "The handler's log.");
    page.item("/var/log/tcmu-runner-glfs.log", "libgfapi's own log.");
    page.section("ENVIRONMENT");
    page.item("`TCMU_GLFS_CONFIG`", "Names another site file: for tests and containers.");
    page.item("`TCMU_GLFS_STATE`", "Names another folder for what /var/lib/tcmu-glfs keeps.");
    page.section("SEE ALSO");
    page.text("tcmu-glfs(8), tcmu-runner(8), targetcli(8), gluster(8)");
}

/// A line of a table, as a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    // Names of programs and values keep their small letter.
    let begins_with_a_name =
        text.split(' ').next().is_some_and(|word| word.contains(['\'', ':']) || word.contains('-'));
    match letters.next() {
        Some(first) if !begins_with_a_name => {
            format!("{}{}.", first.to_uppercase(), letters.as_str())
        }
        _ => format!("{text}."),
    }
}
