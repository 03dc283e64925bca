// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The Ansible role, as far as it goes without a kernel target: tests/vm/scenarios/ansible has one.

use std::fs;
use std::process::Command;

use crate::contrib;
use crate::prometheus::run;

fn playbook(arguments: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("ansible-playbook");
    command.args(["-i", "localhost,"]).args(arguments).env("ANSIBLE_HOME", home.path());
    command.env("ANSIBLE_ROLES_PATH", contrib("ansible/roles"));
    run(&mut command).unwrap()
}

#[test]
fn the_playbook_of_two_gateways_is_well_formed() {
    playbook(&["--syntax-check", contrib("ansible/gateways.yml").to_str().unwrap()]);
}

/// In check mode, on this host: which LUN would be made, and how it would be exported.
#[test]
fn the_role_says_what_it_would_do() {
    let folder = tempfile::tempdir().unwrap();
    let play = folder.path().join("play.yml");
    let text = "
- hosts: localhost
  connection: local
  gather_facts: false
  roles: [tcmu_glfs]
  vars:
    tcmu_glfs_services: false
    tcmu_glfs_gateway: 2
    tcmu_glfs_luns:
      - name: no-such-lun
        cfgstring: vol@192.0.2.9/db.img;open-timeout=1;fence=required
        size: 10G
        target: iqn.2026-01.org.example:db
        portals: [192.0.2.1, 192.0.2.2]
        initiators: ['iqn.1993-08.org.debian:01:1234']
";
    fs::write(&play, text).unwrap();
    let said = playbook(&["--check", "-vv", play.to_str().unwrap()]);
    let export = "tcmu-glfs export no-such-lun \
                  'vol@192.0.2.9/db.img;open-timeout=1;fence=required' --size 10G \
                  --target iqn.2026-01.org.example:db --portal=192.0.2.1 --portal=192.0.2.2 \
                  --initiator=iqn.1993-08.org.debian:01:1234 --gateway 2";
    assert!(said.contains("failed=0") && said.contains(export), "{said}");
}
