//! The one connection that writes, on a thread of its own.
//!
//! Requests queue up while a transaction is on its way to the disk; the next transaction takes all that came, so that
//! one sync serves many (group commit). A request is answered when its transaction is durable.

use std::thread::JoinHandle;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};
use tutti_core::limits::{MAX_COMMIT_BYTES, MAX_COMMIT_RUNS};
use tutti_core::ports::store::StoreError;

use crate::error::{Outcome, classify};

/// Most requests that wait; callers beyond it wait for a place.
const QUEUE: usize = 4 * MAX_COMMIT_RUNS;

/// How much a request adds to a transaction.
#[derive(Debug, Clone, Copy)]
pub struct Weight {
    /// Runs it touches.
    pub runs: usize,
    /// Bytes it writes.
    pub bytes: usize,
}

/// Runs requests in transactions.
#[derive(Debug)]
pub struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Request>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub fn start(db: Connection) -> Result<Self, StoreError> {
        let (queue, requests) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new().name("sqlite-writer".to_string()).spawn(|| serve(db, requests));
        let thread = thread.map_err(|error| StoreError::Unavailable(format!("no thread to write: {error}")))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Does some work in a transaction and answers when that is durable. The work is done again if the transaction has
    /// to be repeated without its neighbours. If the caller goes away, the work is still done.
    pub async fn run<T: Send + 'static>(
        &self,
        weight: Weight,
        work: impl Fn(&Connection) -> Outcome<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let gone = || StoreError::Unavailable("the thread that writes has ended".to_string());
        let (reply, answer) = oneshot::channel();
        let request = Box::new(Queued { weight, work, done: None, reply });
        self.queue.as_ref().ok_or_else(gone)?.send(request).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl Drop for Writer {
    /// Waits until all that is queued is done and the connection is closed.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes has panicked");
        }
    }
}

/// What the thread sees of a request.
trait Request: Send {
    fn weight(&self) -> Weight;

    /// Does the work and remembers its answer. An error undoes the transaction.
    fn work(&mut self, db: &Connection) -> rusqlite::Result<()>;

    /// Gives the answer, or says why the transaction failed.
    fn answer(self: Box<Self>, failed: Option<StoreError>);
}

struct Queued<T, F> {
    weight: Weight,
    work: F,
    done: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: Fn(&Connection) -> Outcome<T> + Send> Request for Queued<T, F> {
    fn weight(&self) -> Weight {
        self.weight
    }

    fn work(&mut self, db: &Connection) -> rusqlite::Result<()> {
        self.done = Some((self.work)(db)?);
        Ok(())
    }

    fn answer(self: Box<Self>, failed: Option<StoreError>) {
        let undone = || Err(StoreError::Unavailable("the transaction was not run".to_string()));
        let Self { done, reply, .. } = *self;
        let answer = failed.map_or_else(|| done.unwrap_or_else(undone), Err);
        // A caller that went away needs no answer.
        let _ = reply.send(answer);
    }
}

fn serve(mut db: Connection, mut requests: mpsc::Receiver<Box<dyn Request>>) {
    while let Some(first) = requests.blocking_recv() {
        let Weight { mut runs, mut bytes } = first.weight();
        let mut batch = vec![first];
        while runs < MAX_COMMIT_RUNS
            && bytes < MAX_COMMIT_BYTES
            && let Ok(next) = requests.try_recv()
        {
            runs += next.weight().runs;
            bytes += next.weight().bytes;
            batch.push(next);
        }
        process(&mut db, batch);
    }
}

/// One transaction for all; if one of them spoils it, one for each.
fn process(db: &mut Connection, mut batch: Vec<Box<dyn Request>>) {
    let failed = transact(db, &mut batch).err().map(|error| classify(&error));
    if let Some(error) = &failed {
        let requests = batch.len();
        tracing::warn!(%error, requests, "a transaction failed");
        // What lies in the surroundings would fail each of them alone as well.
        if !error.is_retryable() && requests > 1 {
            return batch.into_iter().for_each(|request| process(db, vec![request]));
        }
    }
    batch.into_iter().for_each(|request| request.answer(failed.clone()));
}

fn transact(db: &mut Connection, batch: &mut [Box<dyn Request>]) -> rusqlite::Result<()> {
    if !db.is_autocommit() {
        // A roll-back that failed before; nothing can be done until it succeeds.
        db.execute_batch("ROLLBACK")?;
    }
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    batch.iter_mut().try_for_each(|request| request.work(&tx))?;
    tx.commit()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rusqlite::ffi;

    use super::*;

    const LIGHT: Weight = Weight { runs: 1, bytes: 1 };

    type Answer = oneshot::Receiver<Result<i64, StoreError>>;

    /// A request and its answer to come.
    fn request(work: impl Fn(&Connection) -> Outcome<i64> + Send + 'static) -> (Box<dyn Request>, Answer) {
        weighing(LIGHT, work)
    }

    fn weighing(
        weight: Weight,
        work: impl Fn(&Connection) -> Outcome<i64> + Send + 'static,
    ) -> (Box<dyn Request>, Answer) {
        let (reply, answer) = oneshot::channel();
        (Box::new(Queued { weight, work, done: None, reply }), answer)
    }

    fn insert(n: i64) -> impl Fn(&Connection) -> Outcome<i64> + Send + 'static {
        move |db| {
            db.execute("INSERT INTO t VALUES (?)", [n])?;
            Ok(Ok(n))
        }
    }

    fn table() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)").unwrap();
        db
    }

    fn rows(db: &Connection) -> Vec<i64> {
        let mut statement = db.prepare("SELECT n FROM t ORDER BY n").unwrap();
        statement.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn a_request_that_fails_harms_no_other() {
        let mut db = table();
        let spoiled = request(|db| {
            insert(4)(db)?.unwrap();
            insert(1)(db)
        });
        let (batch, answers): (Vec<_>, Vec<_>) =
            [request(insert(1)), request(insert(2)), spoiled, request(insert(3))].into_iter().unzip();
        process(&mut db, batch);
        let answers: Vec<_> = answers.into_iter().map(|mut answer| answer.try_recv().unwrap()).collect();
        assert!(matches!(answers[2], Err(StoreError::Permanent(_))), "{answers:?}");
        assert_eq!([&answers[0], &answers[1], &answers[3]], [&Ok(1), &Ok(2), &Ok(3)]);
        assert_eq!(rows(&db), [1, 2, 3], "nothing of the one that failed");
    }

    #[test]
    fn a_refusal_undoes_nothing() {
        let mut db = table();
        let refused = request(|_| Ok(Err(StoreError::BadCursor)));
        let (batch, answers): (Vec<_>, Vec<_>) = [request(insert(1)), refused, request(insert(2))].into_iter().unzip();
        process(&mut db, batch);
        let answers: Vec<_> = answers.into_iter().map(|mut answer| answer.try_recv().unwrap()).collect();
        assert_eq!(answers, [Ok(1), Err(StoreError::BadCursor), Ok(2)]);
        assert_eq!(rows(&db), [1, 2]);
    }

    #[test]
    fn a_full_disk_is_told_to_all_and_tried_once() {
        let mut db = table();
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = tries.clone();
        let full = request(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_FULL), None))
        });
        let (batch, answers): (Vec<_>, Vec<_>) = [request(insert(1)), full].into_iter().unzip();
        process(&mut db, batch);
        for mut answer in answers {
            assert!(matches!(answer.try_recv(), Ok(Err(StoreError::Unavailable(_)))));
        }
        assert_eq!(tries.load(Ordering::Relaxed), 1);
        assert!(rows(&db).is_empty());
    }

    #[test]
    fn a_transaction_left_open_is_rolled_back() {
        let mut db = table();
        db.execute_batch("BEGIN; INSERT INTO t VALUES (9)").unwrap();
        let (request, mut answer) = request(insert(1));
        process(&mut db, vec![request]);
        assert_eq!(answer.try_recv().unwrap(), Ok(1));
        assert_eq!(rows(&db), [1]);
    }

    #[test]
    fn what_queues_up_shares_a_transaction_up_to_the_limits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t (n INTEGER PRIMARY KEY)").unwrap();
        let committed = |weight: Weight, count: usize| {
            let (queue, requests) = mpsc::channel(QUEUE);
            let before = rows(&Connection::open(&path).unwrap()).len() as i64;
            let answers = (0..count).map(|_| {
                let other = Connection::open(&path).unwrap();
                let work = move |db: &Connection| {
                    db.execute("INSERT INTO t DEFAULT VALUES", ())?;
                    Ok(Ok(rows(&other).len() as i64 - before))
                };
                let (request, answer) = weighing(weight, work);
                assert!(queue.try_send(request).is_ok());
                answer
            });
            let answers: Vec<Answer> = answers.collect();
            drop(queue);
            serve(Connection::open(&path).unwrap(), requests);
            answers.into_iter().map(|mut answer| answer.try_recv().unwrap().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(committed(LIGHT, 5), [0, 0, 0, 0, 0], "one transaction");
        assert_eq!(committed(Weight { runs: MAX_COMMIT_RUNS / 2, bytes: 1 }, 5), [0, 0, 2, 2, 4]);
        assert_eq!(committed(Weight { runs: 1, bytes: MAX_COMMIT_BYTES }, 3), [0, 1, 2]);
    }

    #[tokio::test]
    async fn what_was_queued_is_done_before_the_writer_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)").unwrap();
        let writer = Writer::start(db).unwrap();
        for n in 0..50 {
            // The caller goes away as soon as its request is in the queue.
            let mut call = Box::pin(writer.run(LIGHT, insert(n)));
            assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx).is_pending())).await);
        }
        drop(writer);
        assert_eq!(rows(&Connection::open(&path).unwrap()).len(), 50);
    }
}
