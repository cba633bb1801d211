//! An HTTP/1.1 server over std that keeps a journal of everything it worked on, in a file that all instances share.
//!
//!   PORT=8080 JOURNAL=/tmp/journal ./journal
//!
//! | path | what |
//! |---|---|
//! | `/job/ID/MS` | two lines in the journal, `begin ID` and `end ID`, so many milliseconds apart |
//! | `/panic/DEPTH` | a panic below so many calls: as many different errors as one likes |
//! | `/stall` | from now on nothing is answered any more |

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static STALLED: AtomicBool = AtomicBool::new(false);

#[inline(never)]
fn fall(depth: u64) -> u64 {
    if depth == 0 {
        panic!("the bottom is reached");
    }
    std::hint::black_box(fall(depth - 1)) + 1
}

fn answer(mut journal: &File, path: &str) -> &'static str {
    let words: Vec<&str> = path.split('/').skip(1).collect();
    match words.as_slice() {
        ["job", id, ms] => {
            // One write each: lines of several processes do not mix.
            journal.write_all(format!("begin {id}\n").as_bytes()).expect("written");
            std::thread::sleep(Duration::from_millis(ms.parse().unwrap_or(0)));
            journal.write_all(format!("end {id}\n").as_bytes()).expect("written");
            "200 OK"
        }
        ["panic", depth] => {
            let depth = depth.parse().unwrap_or(0);
            std::panic::catch_unwind(|| fall(depth)).map_or("500 Internal Server Error", |_| "200 OK")
        }
        ["stall"] => {
            STALLED.store(true, Ordering::SeqCst);
            "200 OK"
        }
        _ => "200 OK",
    }
}

fn serve(stream: TcpStream, journal: &File) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        while reader.read_line(&mut line)? > 2 {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
            line.clear();
        }
        std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink())?;
        let status = answer(journal, first.split(' ').nth(1).unwrap_or_default());
        while STALLED.load(Ordering::SeqCst) {
            std::thread::park();
        }
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
        reader.get_mut().write_all(head.as_bytes())?;
    }
}

fn main() {
    let port: u16 = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(0);
    let path = std::env::var("JOURNAL").expect("JOURNAL names a file");
    let journal = OpenOptions::new().create(true).append(true).open(path).expect("a journal");
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    for stream in listener.incoming().flatten() {
        let journal = journal.try_clone().expect("a descriptor");
        std::thread::spawn(move || serve(stream, &journal));
    }
}
