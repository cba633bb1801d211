//! Has testssl.sh look at the gate's TLS, and tells what it finds: `apt-get install testssl.sh openssl`.
//!
//! The gate is the binary of this tree, with a certificate made for the occasion. What is no good fails the chore, except for what
//! [`EXPLAINED`] explains. It takes some minutes, because testssl.sh tries hundreds of handshakes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use serde_json::Value;

/// The name that the certificate is for.
const NAME: &str = "shop.example";
/// What testssl.sh finds, and why that is as it should be.
const EXPLAINED: &[(&str, &str)] = &[
    ("cipher_order", "every cipher offered is a good one, and the client knows which it has in hardware"),
    ("HSTS", "whether a site may be asked for in plain HTTP is for the application to say"),
    ("security_headers", "so are these"),
    ("HTTP_status_code", "nobody is behind the gate here"),
    ("cert_revocation", "the test's authority publishes nothing"),
    ("DNS_CAArecord", "the test's name is not in the DNS"),
    ("engine_problem", "of the client's openssl"),
];

pub(crate) fn run(root: &Path) -> ExitCode {
    match look(root) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("testssl: {error}");
            ExitCode::from(2)
        }
    }
}

/// The gate, for as long as it is looked at.
struct Gate {
    child: Child,
    address: String,
}

impl Drop for Gate {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn look(root: &Path) -> Result<bool, String> {
    let testssl =
        ["testssl", "testssl.sh"].into_iter().find(|name| succeeds(Command::new(name).arg("--version")));
    let testssl = testssl.ok_or("there is no testssl.sh; apt-get install testssl.sh")?;
    let directory = root.join("target/testssl");
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    make_certificates(&directory)?;
    let gate = start(root, &directory)?;
    let port = gate.address.rsplit_once(':').map(|(_, port)| port).ok_or("the gate has no port")?;
    let found = directory.join("found.json");
    // It does not write over what is there.
    let _ = fs::remove_file(&found);
    let mut command = Command::new(testssl);
    command.args(["--quiet", "--color", "0", "--warnings", "batch", "--ip", "127.0.0.1"]);
    command.arg("--add-ca").arg(directory.join("ca.pem")).arg("--jsonfile").arg(&found);
    command.arg(format!("{NAME}:{port}")).current_dir(&directory);
    let output = fs::File::create(directory.join("report.txt")).map_err(|error| error.to_string())?;
    println!("== testssl.sh; its whole report will be in {}", directory.join("report.txt").display());
    // Its exit code counts findings of every kind.
    command.stdin(Stdio::null()).stdout(output).status().map_err(|error| format!("{testssl}: {error}"))?;
    let text = fs::read_to_string(&found).map_err(|error| format!("{testssl} found nothing: {error}"))?;
    tell(&serde_json::from_str(&text).map_err(|error| format!("{}: {error}", found.display()))?)
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// An authority and a certificate for ninety days, as sites have them.
fn make_certificates(directory: &Path) -> Result<(), String> {
    let script = format!(
        "openssl ecparam -name prime256v1 -genkey -noout -out ca.key
         openssl req -x509 -new -key ca.key -days 3650 -subj '/CN=test authority' -out ca.pem
         openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out tls.key
         openssl req -new -key tls.key -subj '/CN={NAME}' -out tls.csr
         printf 'subjectAltName=DNS:{NAME}\\nbasicConstraints=CA:FALSE\\nkeyUsage=digitalSignature\\nextendedKeyUsage=serverAuth\\n' >ext
         openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 90 -extfile ext -out tls.pem"
    );
    let mut command = Command::new("sh");
    command.args(["-ec", &script]).current_dir(directory);
    if succeeds(&mut command) { Ok(()) } else { Err("openssl makes no certificate".to_owned()) }
}

fn start(root: &Path, directory: &Path) -> Result<Gate, String> {
    let built = crate::cargo().args(["build", "--locked", "-p", "freezeframe"]).current_dir(root).status();
    if !built.is_ok_and(|status| status.success()) {
        return Err("freezeframe cannot be built".to_owned());
    }
    let mut command = Command::new(crate::target(root).join("debug/freezeframe"));
    command.args(["gate", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:9"]);
    command.arg("--tls-cert").arg(directory.join("tls.pem")).arg("--tls-key").arg(directory.join("tls.key"));
    command.current_dir(directory).env("NO_COLOR", "1").stdin(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("the gate does not start: {error}"))?;
    let lines = child.stderr.take().map(BufReader::new).ok_or("the gate has no standard error")?;
    let mut gate = Gate { child, address: String::new() };
    let mut lines = lines.lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("gate on https://")).ok_or("the gate does not listen")?;
    let rest = line.split("https://").nth(1).unwrap_or_default();
    gate.address = rest.split(',').next().unwrap_or_default().to_owned();
    // Whoever writes to a pipe that nobody reads stops at some time.
    std::thread::spawn(move || lines.for_each(drop));
    Ok(gate)
}

/// Tells what is worth a word. True where nothing is left to explain.
fn tell(found: &Value) -> Result<bool, String> {
    let findings = found.as_array().ok_or("what testssl.sh wrote is no list")?;
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let (mut fine, mut bad) = (0, 0);
    for finding in findings {
        let (id, severity) = (text(finding, "id"), text(finding, "severity"));
        match severity.as_str() {
            "OK" | "INFO" => fine += 1,
            _ => {
                let why = EXPLAINED.iter().find(|(known, _)| id.starts_with(known)).map(|(_, why)| *why);
                bad += usize::from(why.is_none());
                println!(
                    "{severity:<8} {id}: {} ({})",
                    text(finding, "finding"),
                    why.unwrap_or("NOT EXPLAINED")
                );
            }
        }
    }
    for id in ["overall_grade", "final_score"] {
        if let Some(finding) = findings.iter().find(|finding| finding["id"] == id) {
            println!("{id}: {}", text(finding, "finding"));
        }
    }
    println!("== {} findings: {fine} fine, {bad} not explained", findings.len());
    // An interrupted run finds little.
    Ok(bad == 0 && fine > 50)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_explained_fails() {
        let finding =
            |id: &str, severity: &str| serde_json::json!({ "id": id, "severity": severity, "finding": "x" });
        let mut findings = vec![finding("TLS1_3", "OK"); 60];
        findings.push(finding("HSTS", "LOW"));
        assert_eq!(tell(&Value::Array(findings.clone())), Ok(true));
        findings.push(finding("SSLv3", "HIGH"));
        assert_eq!(tell(&Value::Array(findings)), Ok(false));
        assert_eq!(tell(&Value::Array(vec![finding("TLS1_3", "OK")])), Ok(false));
        tell(&Value::Null).expect_err("no list");
    }
}
