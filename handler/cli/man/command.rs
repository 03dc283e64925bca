// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! tcmu-glfs(8): the command, from what clap knows of it.

use clap::Command;
use clap_mangen::Man;

use super::page::Page;

pub(super) fn page(command: Command) -> String {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let shown: Vec<Command> =
        command.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let mut page = Page::new("tcmu-glfs", "8");
    page.section("NAME");
    page.text("tcmu-glfs - manage SCSI LUNs on GlusterFS volumes");
    page.section("SYNOPSIS");
    paragraphs(&mut page, shown.iter().flat_map(usages));
    page.section("DESCRIPTION");
    about(&mut page, &command);
    page.section("COMMANDS");
    let mut text = page.render();
    for command in &shown {
        text += &subsection(command);
    }
    text + &end()
}

/// `tcmu-glfs check [OPTIONS] CFGSTRING`, the name in bold.
fn usages(command: &Command) -> Vec<String> {
    let usage = command.clone().render_usage().to_string().replace(['<', '>'], "");
    let name = format!("tcmu-glfs {}", command.get_name());
    let lines = usage.trim_start_matches("Usage: ").lines();
    lines.map(|line| line.trim().replacen(&name, &format!("`{name}`"), 1)).collect()
}

fn subsection(command: &Command) -> String {
    let mut page = Page::default();
    page.subsection(command.get_name());
    about(&mut page, command);
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (first, last) = (body(&page.render()), body(&examples(&after)));
    // The help that every command has is no news in a manual.
    let man = Man::new(command.clone().mut_arg("help", |help| help.hide(true)));
    let mut options = Vec::new();
    // A Vec takes all that is written to it.
    let _always = man.render_options_section(&mut options);
    first + &body(&String::from_utf8_lossy(&options)) + &last
}

fn about(page: &mut Page, command: &Command) {
    let about = command
        .get_long_about()
        .or_else(|| command.get_about())
        .map(ToString::to_string)
        .unwrap_or_default();
    paragraphs(page, about.split("\n\n"));
}

fn paragraphs<S: AsRef<str>>(page: &mut Page, texts: impl IntoIterator<Item = S>) {
    for (number, text) in texts.into_iter().enumerate() {
        if number == 0 { page.text(text.as_ref()) } else { page.paragraph(text.as_ref()) }
    }
}

/// `Example: COMMAND`, or several, a line each.
fn examples(text: &str) -> String {
    let mut page = Page::default();
    match text.split_once(':').filter(|(word, _)| word.starts_with("Example")) {
        Some((word, lines)) => {
            page.paragraph(&format!("{word}:"));
            page.example(lines.lines().map(str::trim).filter(|line| !line.is_empty()));
        }
        None if text.is_empty() => {}
        None => page.paragraph(text),
    }
    page.render()
}

/// What can stand within a section: no preamble, no headings of sections, no breaks, which
/// `clap_mangen` has next to spaces.
fn body(roff: &str) -> String {
    without(&[".ie ", ".el ", ".SH ", ".br"], roff)
}

fn without(macros: &[&str], roff: &str) -> String {
    let inner = roff.lines().filter(|line| !macros.iter().any(|name| line.starts_with(name)));
    inner.fold(String::new(), |text, line| text + line + "\n")
}

fn end() -> String {
    let mut page = Page::default();
    page.section("EXIT STATUS");
    page.item("0", "All is well.");
    page.item("1", "Something is wrong, and was reported.");
    page.item("2", "The command line, or a configuration string in it, is wrong.");
    page.section("JSON");
    page.text(
        "With --json a command prints one document, and so it does for an error. Its key `schema` \
         names the document and its version, such as tcmu-glfs.status/1; keys may be added within \
         a version. JSON schemas are in /usr/share/tcmu-glfs/schemas. Mistakes in options are text \
         on standard error.",
    );
    page.section("FILES");
    page.item("/etc/tcmu/glfs.toml", "What LUNs have in common, see tcmu-glfs(5).");
    page.item("/var/log/tcmu-runner.log", "The handler's log.");
    page.item("/var/log/tcmu-runner-glfs.log", "libgfapi's own log.");
    page.section("ENVIRONMENT");
    page.item("`TCMU_GLFS_CONFIG`", "Names another site file.");
    page.item(
        "`RUST_LOG`",
        "Log filter, such as debug or handler_glfs=debug; -v is an alternative.",
    );
    page.item("`NO_COLOR`", "If set, nothing is coloured. Output that is no terminal never is.");
    page.section("SEE ALSO");
    page.text("tcmu-glfs(5), tcmu-runner(8), targetcli(8), gluster(8), qemu-img(1)");
    // What the crate roff puts before everything is there already.
    without(&[".ie ", ".el "], &page.render())
}
