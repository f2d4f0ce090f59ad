//! Tests on booted systemd, each on a machine of its own for each suite. See `tests/system/harness`.
//!
//! Run by `make check`, as root. The suites are those of the environment variable `SUITES`.

mod harness;

mod cases;

fn main() -> std::process::ExitCode {
    harness::main(cases::GROUPS)
}
