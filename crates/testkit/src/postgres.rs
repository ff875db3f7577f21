//! A PostgreSQL server to throw away, made from the binaries that are installed, and fresh databases in it.
//!
//! `TUTTI_TEST_DATABASE_URL` names a server to use instead; its role must be allowed to make databases. `PG_BIN` names
//! the folder of the binaries if they are not where distributions put them.

#![expect(clippy::unwrap_used, reason = "a test without its server fails")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Names the server to use instead of one of our own.
pub const URL_VARIABLE: &str = "TUTTI_TEST_DATABASE_URL";

/// Longest that a server may take to start.
const START: Duration = Duration::from_secs(60);

/// What stops the server and removes its folder as soon as nobody holds the other end of its standard input: the process
/// that began it has ended, however it ended.
const KEEPER: &str = r#"
trap '' INT HUP TERM
bin=$1 folder=$2; shift 2
"$bin/postgres" -D "$folder/data" -c listen_addresses= -c unix_socket_directories="$folder" "$@" >"$folder/log" 2>&1 &
server=$!
read -r word
kill -QUIT $server 2>/dev/null
wait $server
[ "$word" = keep ] || rm -rf "$folder"
"#;

/// A server of its own, reached by a socket in its folder. Stops when it is dropped, or its process ends.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    bin: PathBuf,
    user: Option<(u32, u32)>,
    settings: Vec<String>,
    keeper: Child,
}

/// A database of its own in a server; removed when it is dropped.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
}

impl Server {
    /// Starts one with settings such as `fsync=off` beside the usual ones.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        Self::start_in(&std::env::temp_dir(), settings)
    }

    /// The same, in a folder of its own in this one, which lets everybody in.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_in(parent: &Path, settings: &[&str]) -> Self {
        let (bin, user) = (binaries(), server_user());
        let folder = fresh_folder(parent, user);
        let init = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"];
        let mut initdb = Command::new(bin.join("initdb"));
        initdb.args(init).arg(folder.join("data")).stdin(Stdio::null());
        let done = as_user(user, &mut initdb, &folder).output().unwrap();
        assert!(done.status.success(), "initdb: {}", String::from_utf8_lossy(&done.stderr));
        Self::run(folder, bin, user, usual(settings))
    }

    /// Starts a standby, on a copy of the data, that follows this server until it is [promoted](Self::promote). From when
    /// this returns, this server acknowledges nothing that its standby does not have.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn standby(&self) -> Self {
        let standby = self.asynchronous_standby();
        self.set("synchronous_standby_names", "*");
        let follows = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        wait_for("the standby follows", || run_sql(&self.url(), follows) == "1");
        standby
    }

    /// The same, for which this server does not wait: what it acknowledged is there a little later, or never.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn asynchronous_standby(&self) -> Self {
        let folder = fresh_folder(&std::env::temp_dir(), self.user);
        let mut copy = Command::new(self.bin.join("pg_basebackup"));
        copy.args(["--username=postgres", "--checkpoint=fast", "--write-recovery-conf", "--no-sync", "--host"]);
        copy.arg(&self.folder).arg("--pgdata").arg(folder.join("data")).stdin(Stdio::null());
        let done = as_user(self.user, &mut copy, &folder).output().unwrap();
        assert!(done.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&done.stderr));
        Self::run(folder, self.bin.clone(), self.user, self.settings.clone())
    }

    /// A standby gets nothing more of the server that it follows. It has all that was acknowledged before this was called.
    ///
    /// # Panics
    /// If it does not catch up or does not stop.
    pub fn stop_following(&self, first: &Self) {
        let written = run_sql(&first.url(), "SELECT pg_current_wal_flush_lsn()");
        let has = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
        wait_for("the standby catches up", || run_sql(&self.url(), &has) == "t");
        self.set("primary_conninfo", "");
        wait_for("the standby stops", || run_sql(&self.url(), "SELECT count(*) FROM pg_stat_wal_receiver") == "0");
    }

    /// Starts one on data that `make` puts where it is told, such as a base backup.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_on(settings: &[&str], make: impl FnOnce(&Path)) -> Self {
        let user = server_user();
        let folder = fresh_folder(&std::env::temp_dir(), user);
        make(&folder.join("data"));
        Self::run(folder, binaries(), user, usual(settings))
    }

    /// Makes a standby the server that is written to.
    ///
    /// # Panics
    /// If it does not become that.
    pub fn promote(&self) {
        assert_eq!(run_sql(&self.url(), "SELECT pg_promote()"), "t");
    }

    /// Gives a setting another value, for sessions that exist as well.
    ///
    /// # Panics
    /// If the server does not take it.
    pub fn set(&self, name: &str, value: &str) {
        run_sql(&self.url(), &format!("ALTER SYSTEM SET {name} = '{value}'"));
        run_sql(&self.url(), "SELECT pg_reload_conf()");
        let shown = format!("SELECT current_setting('{name}')");
        wait_for(name, || run_sql(&self.url(), &shown) == value);
    }

    fn run(folder: PathBuf, bin: PathBuf, user: Option<(u32, u32)>, settings: Vec<String>) -> Self {
        let keeper = keeper(&folder, &bin, user, &settings);
        let server = Self { folder, bin, user, settings, keeper };
        server.wait();
        server
    }

    /// Its address, with the database that every server has.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@localhost/postgres?host={}", self.folder.display())
    }

    /// The folder with its socket, `.s.PGSQL.5432`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a statement answers, a line for each row, with `|` between columns.
    ///
    /// # Errors
    /// What the server, or its absence, says against it.
    pub fn sql(&self, statement: &str) -> Result<String, String> {
        try_sql(&self.url(), statement)
    }

    /// Stops it at once, as a crash would, and starts it again on the same data.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.crash();
        self.keeper = keeper(&self.folder, &self.bin, self.user, &self.settings);
        self.wait();
    }

    /// Stops it at once, as a crash would.
    ///
    /// # Panics
    /// If it cannot be told so.
    pub fn crash(&mut self) {
        use std::io::Write as _;
        if let Some(mut words) = self.keeper.stdin.take() {
            words.write_all(b"keep\n").unwrap();
        }
        self.keeper.wait().unwrap();
    }

    fn wait(&self) {
        let deadline = Instant::now() + START;
        while !psql(&self.url(), "SELECT 1").status.success() {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "PostgreSQL does not start: {}", log());
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // The keeper goes on without us if this fails.
        let _ = self.keeper.wait();
    }
}

impl Database {
    /// A fresh one in the server of this process, which the first call starts.
    ///
    /// # Panics
    /// If there is no server, or it makes no database.
    #[must_use]
    pub fn fresh() -> Self {
        Self::fresh_in(&server())
    }

    /// A fresh one in a server.
    ///
    /// # Panics
    /// If the server makes no database.
    #[must_use]
    pub fn fresh_in(server: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tutti_test_{}_{number}", std::process::id());
        run_sql(server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        run_sql(server, &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"));
        Self { server: server.to_owned(), name }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    ///
    /// # Panics
    /// If that of the server is none.
    #[must_use]
    pub fn url(&self) -> String {
        let (address, parameters) = self.server.split_once('?').unwrap_or((&self.server, ""));
        let scheme = address.find("://").unwrap() + 3;
        let host = address[scheme..].find('/').map_or(address, |slash| &address[..scheme + slash]);
        format!("{host}/{}?{parameters}", self.name)
    }

    /// What a statement answers, a line for each row, with `|` between columns.
    ///
    /// # Panics
    /// If it fails.
    pub fn sql(&self, statement: &str) -> String {
        run_sql(&self.url(), statement)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Without a server there is nothing to remove.
        let _ = psql(&self.server, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

/// These settings beside those that all servers have.
fn usual(settings: &[&str]) -> Vec<String> {
    ["max_connections=200", "shared_buffers=64MB"].iter().chain(settings).map(|one| (*one).to_owned()).collect()
}

/// A folder that only the server's user enters.
fn fresh_folder(parent: &Path, user: Option<(u32, u32)>) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = parent.join(format!("tutti-pg-{}-{number}", std::process::id()));
    // What an earlier process of this number left.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    if let Some((user, group)) = user {
        chown(&folder, Some(user), Some(group)).unwrap();
    }
    folder
}

fn wait_for(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + START;
    while !so() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        sleep(Duration::from_millis(20));
    }
}

/// One of the programs of PostgreSQL, run as the user that servers run as.
#[must_use]
pub fn tool(name: &str) -> Command {
    let mut tool = Command::new(binaries().join(name));
    as_user(server_user(), tool.stdin(Stdio::null()), &std::env::temp_dir());
    tool
}

/// Runs a program to its end: what it writes.
///
/// # Panics
/// If it fails.
pub fn run_tool(tool: &mut Command) -> Vec<u8> {
    let done = tool.output().unwrap();
    assert!(done.status.success(), "{tool:?}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// The address of the server of this process.
fn server() -> String {
    static SERVER: OnceLock<(Option<Server>, String)> = OnceLock::new();
    let (_, url) = SERVER.get_or_init(|| match std::env::var(URL_VARIABLE) {
        Ok(url) if !url.is_empty() => (None, url),
        _ => {
            let server = Server::start(&[]);
            let url = server.url();
            (Some(server), url)
        }
    });
    url.clone()
}

fn run_sql(url: &str, statement: &str) -> String {
    try_sql(url, statement).unwrap_or_else(|error| panic!("{statement}: {error}"))
}

fn try_sql(url: &str, statement: &str) -> Result<String, String> {
    let done = psql(url, statement);
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into_owned());
    }
    Ok(String::from_utf8(done.stdout).unwrap().trim_end().to_owned())
}

fn psql(url: &str, statement: &str) -> std::process::Output {
    let mut psql = Command::new(binaries().join("psql"));
    psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--dbname", url]);
    psql.args(["--command", statement]).stdin(Stdio::null()).output().unwrap()
}

fn keeper(folder: &Path, bin: &Path, user: Option<(u32, u32)>, settings: &[String]) -> Child {
    let mut keeper = Command::new("/bin/sh");
    keeper.args(["-c", KEEPER, "keeper"]).arg(bin).arg(folder);
    keeper.args(settings.iter().flat_map(|setting| ["-c", setting]));
    // A group of its own: what is typed at the terminal ends the tests first.
    let keeper = as_user(user, &mut keeper, folder).process_group(0).stdin(Stdio::piped());
    keeper.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn as_user<'c>(user: Option<(u32, u32)>, command: &'c mut Command, folder: &Path) -> &'c mut Command {
    if let Some((user, group)) = user {
        command.uid(user).gid(group);
    }
    command.current_dir(folder)
}

/// PostgreSQL does not run as root: the user and group to run it as, if that is who we are.
fn server_user() -> Option<(u32, u32)> {
    let id = |args: &[&str]| {
        let done = Command::new("id").args(args).output().unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        text.trim().parse::<u32>().ok().filter(|_| done.status.success())
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    ["postgres", "nobody"].iter().find_map(|name| Some((id(&["-u", name])?, id(&["-g", name])?)))
}

/// The folder of the newest binaries.
fn binaries() -> PathBuf {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    let find = || {
        if let Some(named) = std::env::var_os("PG_BIN") {
            return Some(PathBuf::from(named));
        }
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
        let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
        let newest = versions.filter_map(|path| Some((number(&path)?, path))).max().map(|(_, path)| path.join("bin"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        newest.into_iter().chain(std::env::split_paths(&path)).find(|bin| bin.join("initdb").exists())
    };
    let missing = "no PostgreSQL is installed: `cargo xtask test` installs it where it can; PG_BIN names its binaries";
    BIN.get_or_init(|| find().expect(missing)).clone()
}
