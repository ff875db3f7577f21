//! `tutti doctor`: what is wrong is found and named, with what to do.

mod damage;
mod load;
mod surroundings;

use serde_json::Value;
use tutti_testkit::postgres::Database;

use crate::host::{AGENTS, CHAIN, Host};
use crate::support::{Done, EXAMPLE, Place, workflow};

/// The findings about something: state and detail.
fn found<'d>(done: &'d Value, check: &str) -> Vec<(&'d str, &'d str)> {
    let findings = done["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == check);
    findings.map(|finding| (finding["state"].as_str().unwrap(), finding["detail"].as_str().unwrap())).collect()
}

fn doctor(place: &Place, more: &[&str], code: i32) -> Value {
    let done: Done = place.tutti(&[&["doctor", "-o", "json"], more].concat()).expect(code);
    let json = done.json();
    assert_eq!(json["ok"], code == 0);
    let next = |finding: &Value| finding["state"] == "ok" || finding["next"].is_string();
    assert!(json["findings"].as_array().unwrap().iter().all(next), "what is not right says what to do: {json:#}");
    json
}

/// A store to look at, and to damage.
enum Store {
    Sqlite(Place),
    Postgres(Place, Database),
}

impl Store {
    fn sqlite() -> Self {
        Self::Sqlite(Place::new())
    }

    fn postgres() -> Self {
        let (place, database) = (Place::new(), Database::fresh());
        place.tutti(&["migrate", "--store", &database.url()]).expect(0);
        Self::Postgres(place, database)
    }

    fn place(&self) -> &Place {
        match self {
            Self::Sqlite(place) | Self::Postgres(place, _) => place,
        }
    }

    /// How it is named in a command.
    fn flag(&self) -> [String; 2] {
        let store = match self {
            Self::Sqlite(_) => "sqlite:.tutti/tutti.db".to_owned(),
            Self::Postgres(_, database) => database.url(),
        };
        ["--store".to_owned(), store]
    }

    /// A server on it.
    fn serve(&self, id: &str) -> Host {
        self.place().write("fleet.toml", &format!("[fleet]\nserver_id = \"{id}\"\nlease_seconds = 5\n"));
        let [flag, store] = self.flag();
        Host::with(self.place(), &["--config", "fleet.toml", &flag, &store])
    }

    /// Looks at it.
    fn doctor(&self, more: &[&str], code: i32) -> Value {
        let [flag, store] = self.flag();
        doctor(self.place(), &[&[flag.as_str(), store.as_str()], more].concat(), code)
    }

    /// Changes it behind the product's back.
    fn sql(&self, statement: &str) {
        match self {
            Self::Postgres(_, database) => drop(database.sql(statement)),
            Self::Sqlite(place) => {
                let db = rusqlite::Connection::open(place.path().join(".tutti/tutti.db")).unwrap();
                db.pragma_update(None, "foreign_keys", false).unwrap();
                db.execute_batch(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
            }
        }
    }

    /// A run's id as a statement has it.
    fn id(&self, run: &str) -> String {
        match self {
            Self::Postgres(..) => format!("'{run}'"),
            Self::Sqlite(_) => format!("x'{}'", run.replace('-', "")),
        }
    }

    /// Bytes as a statement has them.
    fn bytes(&self, hex: &str) -> String {
        match self {
            Self::Postgres(..) => format!("'\\x{hex}'"),
            Self::Sqlite(_) => format!("x'{hex}'"),
        }
    }
}

#[test]
fn a_store_without_faults_is_told_as_such() {
    let place = Place::new();
    let empty = doctor(&place, &[], 0);
    assert_eq!(found(&empty, "store")[0].0, "note", "{empty:#}");
    place.tutti(&["run", &workflow(), "--progress", "quiet"]).expect(0);
    let agents = format!("{EXAMPLE}/agents.yaml");
    let well = doctor(&place, &["--agents", &agents], 0);
    assert_eq!(found(&well, "config"), [("ok", "the configuration can be used")]);
    assert!(found(&well, "runs")[0].1.contains("the 1 newest keep what runs promise; their 6 payloads"), "{well:#}");
    assert_eq!(found(&well, "agents").len(), 8);
    let text = place.tutti(&["doctor"]).expect(0).stdout;
    assert!(text.lines().all(|line| line.starts_with("● ok") || line.starts_with("◇ note")), "{text}");
}

#[test]
fn a_history_that_was_changed_and_a_payload_that_is_gone_are_found() {
    let place = Place::new();
    for _ in 0..2 {
        place.tutti(&["run", &workflow(), "--progress", "quiet"]).expect(0);
    }
    let runs: Vec<String> = place.tutti(&["list", "-o", "name"]).expect(0).stdout.lines().map(str::to_owned).collect();
    let db = rusqlite::Connection::open(place.path().join(".tutti/tutti.db")).unwrap();
    let bytes = |run: &str| uuid::Uuid::parse_str(run).unwrap().as_bytes().to_vec();
    assert_eq!(db.execute("DELETE FROM event WHERE run_id = ?1 AND seq = 5", [bytes(&runs[0])]).unwrap(), 1);
    assert!(db.execute("DELETE FROM payload WHERE run_id = ?1", [bytes(&runs[1])]).unwrap() > 0);
    drop(db);
    let ill = doctor(&place, &[], 1);
    let wrong = found(&ill, "runs");
    assert_eq!(wrong.len(), 2, "{ill:#}");
    assert!(wrong.iter().all(|(state, _)| *state == "wrong"));
    assert!(wrong[0].1.contains(&runs[0]), "{wrong:?}");
    assert!(wrong[1].1.contains(&runs[1]) && wrong[1].1.contains("is not in the store"), "{wrong:?}");
    assert_eq!(found(&doctor(&place, &["--runs", "0"], 0), "runs").len(), 1, "only as many as are asked for");
}

#[test]
fn what_stands_around_a_store_is_looked_at() {
    let place = Place::new();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    place.write("cert.pem", &params.self_signed(&key).unwrap().pem());
    place.write("key.pem", &key.serialize_pem());
    place.write("tutti.toml", "[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n");
    let nobody = "agents:\n- {name: gone, url: 'http://127.0.0.1:9', capabilities: [x]}\n\
                  - {name: none, command: [no-such-program-here, '{port}'], capabilities: [x]}\n";
    place.write("agents.yaml", nobody);
    let ill = doctor(&place, &[], 1);
    assert!(matches!(found(&ill, "tls")[..], [("wrong", told)] if told.contains("expired at 2001-01-01")), "{ill:#}");
    let agents = found(&ill, "agents");
    assert!(agents.iter().all(|(state, _)| *state == "wrong"), "{agents:?}");
    assert!(agents[0].1.contains("does not show its card") && agents[1].1.contains("no-such-program-here"));
    place.write("key.pem", &rcgen::KeyPair::generate().unwrap().serialize_pem());
    assert!(found(&doctor(&place, &[], 1), "tls")[0].1.contains("cert.pem"));
    place.write("tutti.toml", "[tls]\ncert = 5\n");
    let config = doctor(&place, &[], 1);
    assert!(matches!(found(&config, "config")[..], [("wrong", told)] if told.contains("tls.cert")), "{config:#}");
}

#[test]
fn a_server_is_asked_how_it_is_and_what_the_token_may_do() {
    let place = Place::new();
    place.write("agents.yaml", AGENTS);
    place.write("chain.yaml", CHAIN);
    let tokens =
        ["reader", "operator", "author", "admin"].map(|role| (role, place.token(&["--name", "ci", "--role", role])));
    place.write("tutti.toml", "[auth]\nenabled = true\n");
    let host = Host::start(&place);
    for (role, token) in &tokens {
        let told = doctor(&place, &["--server", &host.url, "--token", token], 0);
        assert_eq!(found(&told, "caller"), [("ok", &*format!("may do what the role {role} allows"))], "{told:#}");
        assert_eq!(found(&told, "runs"), [("ok", "no runs")], "looking changed nothing");
        assert!(found(&told, "server")[0].1.contains(concat!(
            "version ",
            env!("CARGO_PKG_VERSION"),
            ", drives 0 runs"
        )));
        assert_eq!(found(&told, "fleet"), [], "it has its store alone");
    }
    let nobody = doctor(&place, &["--server", &host.url], 1);
    assert_eq!(found(&nobody, "server")[0].0, "wrong", "{nobody:#}");
    let url = host.url.clone();
    drop(host);
    assert_eq!(found(&doctor(&place, &["--server", &url], 1), "server")[0].0, "wrong");
}
