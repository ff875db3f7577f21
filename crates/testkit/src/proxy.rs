//! A way to a PostgreSQL server that can be cut or interrupted at a chosen moment.
//!
//! It reads the messages that it carries, so that it knows whose answer it has before it.

#![expect(clippy::unwrap_used, reason = "a test without its proxy fails")]

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// What a proxy does to what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Carries everything.
    Open,
    /// Resets a connection instead of carrying its next request, and is open again.
    CutRequest,
    /// Carries the next statement that has these words in its text, swallows the answer from its `CommandComplete` on, resets
    /// the connection when the server is done, and is open again: the work is done and nobody knows.
    CutAnswer(&'static str),
    /// Carries nothing and closes nothing; when it is open again, all that came meanwhile arrives late.
    Hold,
    /// Loses what comes. A connection that lost something stays silent for ever, as one does whose other end is gone without
    /// a word.
    Lose,
}

/// Listens on a port of this machine and carries what comes to a server's socket. Ends with its runtime.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    socket: PathBuf,
    mode: watch::Sender<Mode>,
    cuts: AtomicUsize,
}

impl Proxy {
    /// Starts one, open.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { socket, mode: watch::Sender::new(Mode::Open), cuts: AtomicUsize::new(0) });
        let carrier = shared.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, carrier.clone()));
            }
        });
        Self { port, shared }
    }

    /// The address of a database by way of the proxy.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// What becomes of what comes from now on.
    pub fn set(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }

    /// Connections that were reset so far.
    #[must_use]
    pub fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::SeqCst)
    }
}

impl Shared {
    /// Open again if it was so: of several connections at once, one is cut.
    fn take(&self, so: impl Fn(Mode) -> bool) -> bool {
        self.mode.send_if_modified(|mode| {
            let so = so(*mode);
            if so {
                *mode = Mode::Open;
            }
            so
        })
    }

    fn reset(&self, client: &TcpStream) {
        let _ = client.set_zero_linger();
        self.cuts.fetch_add(1, Ordering::SeqCst);
    }
}

async fn carry(mut client: TcpStream, shared: Arc<Shared>) {
    // While the server is away nobody is there to connect to.
    let Ok(server) = UnixStream::connect(&shared.socket).await else { return };
    let _ = client.set_nodelay(true);
    let connection =
        Connection { server, asked: BytesMut::new(), answered: BytesMut::new(), statements: Statements::default() };
    let end = connection.carry(&mut client, &shared).await;
    if let Ok(End::Silence(_server)) = end {
        // Until the client gives up; the server hears of nothing before.
        let mut lost = [0; 4_096];
        while client.read(&mut lost).await.is_ok_and(|read| read > 0) {}
    }
}

struct Connection {
    server: UnixStream,
    asked: BytesMut,
    answered: BytesMut,
    statements: Statements,
}

/// How a connection ends.
enum End {
    /// One end closed it, or it was cut.
    Closed,
    /// It lost something; the server keeps its end open.
    Silence(UnixStream),
}

impl Connection {
    async fn carry(mut self, client: &mut TcpStream, shared: &Shared) -> io::Result<End> {
        let mut modes = shared.mode.subscribe();
        let mut is_swallowing = false;
        loop {
            let mode = *modes.borrow_and_update();
            let flows = mode != Mode::Hold;
            tokio::select! {
                changed = modes.changed() => {
                    if changed.is_err() {
                        return Ok(End::Closed);
                    }
                }
                read = client.read_buf(&mut self.asked), if flows => {
                    if read? == 0 {
                        return Ok(End::Closed);
                    }
                    if mode == Mode::Lose {
                        return Ok(End::Silence(self.server));
                    }
                    if shared.take(|mode| mode == Mode::CutRequest) {
                        shared.reset(client);
                        return Ok(End::Closed);
                    }
                    while let Some(message) = self.statements.next(&mut self.asked) {
                        self.server.write_all(&message).await?;
                    }
                }
                read = self.server.read_buf(&mut self.answered), if flows => {
                    if read? == 0 {
                        return Ok(End::Closed);
                    }
                    if mode == Mode::Lose {
                        return Ok(End::Silence(self.server));
                    }
                    while let Some(message) = split(&mut self.answered, 1) {
                        is_swallowing |= message[0] == b'C' && shared.take(|mode| self.statements.is_cut(mode));
                        // The transaction of the statement ends with ReadyForQuery, and not before.
                        if is_swallowing && message[0] == b'Z' {
                            shared.reset(client);
                            return Ok(End::Closed);
                        }
                        if !is_swallowing {
                            client.write_all(&message).await?;
                        }
                    }
                }
            }
        }
    }
}

/// The statements that a client has prepared, by name, and the one that it has asked for.
#[derive(Default)]
struct Statements {
    is_started: bool,
    prepared: HashMap<Vec<u8>, String>,
    asked: String,
}

impl Statements {
    /// The client's next message, once it is there; what it says is noted.
    fn next(&mut self, buffer: &mut BytesMut) -> Option<BytesMut> {
        // The first one has no kind.
        if !self.is_started {
            let message = split(buffer, 0)?;
            self.is_started = true;
            return Some(message);
        }
        let message = split(buffer, 1)?;
        let mut texts = message[5..].split(|byte| *byte == 0);
        let mut text = || texts.next().unwrap_or_default();
        match message[0] {
            b'P' => {
                let (name, statement) = (text().to_vec(), String::from_utf8_lossy(text()).into_owned());
                self.prepared.insert(name, statement);
            }
            b'B' => {
                let (_portal, name) = (text(), text());
                self.asked = self.prepared.get(name).cloned().unwrap_or_default();
            }
            b'Q' => self.asked = String::from_utf8_lossy(text()).into_owned(),
            _ => {}
        }
        Some(message)
    }

    fn is_cut(&self, mode: Mode) -> bool {
        matches!(mode, Mode::CutAnswer(words) if self.asked.contains(words))
    }
}

/// The first message of a buffer, once all of it is there: a kind of so many bytes, and a length that counts itself.
fn split(buffer: &mut BytesMut, kind: usize) -> Option<BytesMut> {
    let length = buffer.get(kind..kind + 4)?;
    let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
    let whole = kind + length.max(4);
    (buffer.len() >= whole).then(|| buffer.split_to(whole))
}
