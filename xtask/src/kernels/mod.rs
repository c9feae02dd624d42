//! The kernel matrix: each kernel boots in an emulator and runs the probes' own tests, on real traffic.

mod archive;
mod console;
mod guest;
mod image;
mod initramfs;
mod matrix;
mod mirror;
mod programs;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::repository;
use console::Outcome;
use guest::Guest;
use matrix::{Kernel, Matrix};
use programs::Choice;
use table::Column;

/// How many guests run at a time. Each has two processors; more would only make their clocks late.
const GUESTS: usize = 2;

/// How kernels are tested.
#[derive(Default)]
struct Options {
    /// Asks the archive for newer packages.
    refresh: bool,
    choice: Choice,
}

/// `kernels [--refresh] [--only=PROGRAM::TEST] [--times=N] [NAME...]`: all of the matrix, or what is named.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    let (flags, names): (Vec<String>, Vec<String>) =
        arguments.iter().cloned().partition(|argument| argument.starts_with('-'));
    let options = options(&flags)?;
    let matrix = matrix::read(&names)?;
    let vm = repository::target().join("vm");
    fs::create_dir_all(&vm).with_context(|| format!("create {}", vm.display()))?;
    let native = matrix.kernels.iter().any(Kernel::is_native);
    let tests = if native { programs::build_tests(&vm)? } else { Vec::new() };

    let waiting = Mutex::new(matrix.kernels.iter().enumerate());
    let columns = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some((place, kernel)) = lock(&waiting).next() else { break };
            let column = test(kernel, &matrix, &tests, &vm, &options);
            lock(&columns).push((place, column));
        }
    };
    thread::scope(|scope| {
        for _ in 0..GUESTS {
            scope.spawn(work);
        }
    });
    let mut columns = columns.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    columns.sort_by_key(|(place, _)| *place);
    let columns: Vec<Column> = columns.into_iter().map(|(_, column)| column).collect();

    print!("\n{}", table::render(&columns));
    let passed: u32 = columns.iter().map(|column| column.outcome.passed).sum();
    let failed: u32 = columns.iter().map(|column| column.outcome.failed).sum();
    println!("matrix: {passed} passed, {failed} failed");
    Ok(if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn options(flags: &[String]) -> Result<Options> {
    let mut options = Options::default();
    for flag in flags {
        match flag.split_once('=').unwrap_or((flag, "")) {
            ("--refresh", "") => options.refresh = true,
            ("--only", name) => {
                let parts = name.split_once("::");
                let (program, test) = parts.with_context(|| {
                    format!(
                        "kernels: {flag}: not PROGRAM::TEST, such as --only=flow::udp_over_ipv4"
                    )
                })?;
                options.choice.only = Some((program.to_owned(), test.to_owned()));
            }
            ("--times", times) => {
                let positive = times.parse().ok().filter(|times| *times > 0);
                options.choice.times =
                    positive.with_context(|| format!("kernels: {flag}: not a number above 0"))?;
            }
            _ => bail!(
                "kernels: no such flag: {flag}; there are --refresh, --only=PROGRAM::TEST and --times=N"
            ),
        }
    }
    Ok(options)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// One kernel, from the archive to its column.
fn test(
    kernel: &Kernel,
    matrix: &Matrix,
    tests: &[(String, PathBuf)],
    vm: &Path,
    options: &Options,
) -> Column {
    let begin = Instant::now();
    let outcome = match boot(kernel, matrix, tests, vm, options) {
        Ok(outcome) => outcome,
        Err(error) => {
            let mut outcome = Outcome::default();
            outcome.fail(format!("{error:#}"));
            outcome
        }
    };
    let skipped = kernel.skip.clone().into_iter().collect();
    let seconds = begin.elapsed().as_secs();
    println!(
        "kernels: {}: {} passed, {} failed, {seconds} s",
        kernel.name, outcome.passed, outcome.failed
    );
    Column { name: kernel.name.clone(), outcome, skipped, seconds }
}

fn boot(
    kernel: &Kernel,
    matrix: &Matrix,
    tests: &[(String, PathBuf)],
    vm: &Path,
    options: &Options,
) -> Result<Outcome> {
    println!("kernels: {}: Debian {}, {}", kernel.name, kernel.suite, kernel.architecture);
    let image = match (image::fetch(kernel, vm, options.refresh), &kernel.unavailable) {
        (Ok(image), _) => image,
        (Err(error), Some(reason)) => {
            println!("kernels: {}: unavailable ({reason}): {error:#}", kernel.name);
            return Ok(Outcome { release: "unavailable".to_owned(), ..Outcome::default() });
        }
        (Err(error), None) => return Err(error.context("unavailable")),
    };
    println!("kernels: {}: booting {}", kernel.name, image.release);
    let folder = vm.join(&kernel.name);
    let initramfs = folder.join("initramfs");
    programs::pack(kernel, &image, matrix, tests, &options.choice, &initramfs)?;
    let limit = Duration::from_secs(matrix.minutes * 60);
    let guest = Guest {
        architecture: &kernel.architecture,
        kernel: &image.vmlinuz,
        initramfs: &initramfs,
        parameters: &kernel.parameters,
        memory_mb: matrix.memory_mb,
        limit,
    };
    let lines = guest.run()?;
    let log = folder.join("console.log");
    guest::save(&lines, &log)?;
    let mut outcome = console::parse(&lines);
    if outcome.done && outcome.verdicts.is_empty() && options.choice.only.is_none() {
        outcome.fail("no verdict came from the guest".to_owned());
    }
    if outcome.failed > 0 {
        println!("kernels: {}: from {}:", kernel.name, log.display());
        for line in console::excerpt(&lines, &outcome) {
            println!("  {} | {line}", kernel.name);
        }
    }
    Ok(outcome)
}
