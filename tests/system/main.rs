//! Tests with a booted systemd, each on its own machine for each suite. See `tests/system/harness`.
//!
//! Run by `make check`, as root. The suites are those of the environment variable `SUITES`.

mod harness;

mod cases;

fn main() -> std::process::ExitCode {
    harness::main(cases::GROUPS)
}
