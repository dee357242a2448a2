//! The command `coalmine`.

use std::process::ExitCode;

fn main() -> ExitCode {
    coalmine::main()
}
