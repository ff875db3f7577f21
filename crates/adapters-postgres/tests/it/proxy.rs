//! A connection to the database that can be cut at a chosen moment.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// What a proxy does to what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Carries everything.
    Open,
    /// Cuts instead of carrying a request.
    CutRequest,
    /// Carries a request, waits for the answer, and cuts instead of carrying that: the work is done and nobody knows.
    CutAnswer,
    /// Carries nothing more and cuts nothing, as if the way had gone.
    Hold,
}

/// Listens on a port of this machine and carries what comes to a server's socket.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    socket: PathBuf,
    mode: AtomicU8,
    cuts: AtomicUsize,
}

impl Proxy {
    /// Starts one, open.
    pub async fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State { socket, mode: AtomicU8::new(Mode::Open as u8), cuts: AtomicUsize::new(0) });
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, shared.clone()));
            }
        });
        Self { port, state }
    }

    /// The address of a database by way of the proxy.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// What becomes of what comes from now on.
    pub fn set(&self, mode: Mode) {
        self.state.mode.store(mode as u8, Ordering::SeqCst);
    }

    /// Connections that were cut so far.
    pub fn cuts(&self) -> usize {
        self.state.cuts.load(Ordering::SeqCst)
    }
}

impl State {
    fn is(&self, mode: Mode) -> bool {
        self.mode.load(Ordering::SeqCst) == mode as u8
    }
}

async fn carry(mut client: TcpStream, state: Arc<State>) {
    let mut server = UnixStream::connect(&state.socket).await.unwrap();
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(read @ 1..) = read else { return };
                if state.is(Mode::CutRequest) {
                    state.cuts.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                if !state.is(Mode::Hold) && server.write_all(&asked[..read]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(read @ 1..) = read else { return };
                // The answer to a statement ends with CommandComplete and ReadyForQuery ('Z', length 5, state).
                let ended = answered[..read].ends_with(b"Z\0\0\0\x05I");
                if state.is(Mode::CutAnswer) && ended {
                    state.cuts.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                if !state.is(Mode::Hold) && client.write_all(&answered[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}
