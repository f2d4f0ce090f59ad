//! Tests on booted systemd, each on a machine of its own for each suite. See `tests/system/harness`.
//!
//! Run by `make check`, as root. The suites are those of the environment variable `SUITES`.

#[path = "system/harness/mod.rs"]
mod harness;

#[path = "system/cases/bench.rs"]
mod bench;
#[path = "system/cases/dns.rs"]
mod dns;
#[path = "system/cases/type_wireguard.rs"]
mod type_wireguard;
#[path = "system/cases/unmanaged.rs"]
mod unmanaged;

fn main() -> std::process::ExitCode {
    harness::main(&[
        ("bench", bench::CASES),
        ("dns", dns::CASES),
        ("type_wireguard", type_wireguard::CASES),
        ("unmanaged", unmanaged::CASES),
    ])
}
