//! The connections of one lookup: at most one to a server at a time, which all its questions share.
//!
//! IPv4 and IPv6 are asked for at once, and silence about one must not hold up the other, so questions do not wait for each
//! other's answers. Each connection is served by a task of its own; none outlives the lookup.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hickory_resolver::proto::op::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::failure::Failure;
use super::https::HttpsChannel;
use super::message::{answers, decode, encode, framed};
use super::tasks::OwnedTasks;
use super::tls::DnsTls;
use super::upstream::{NameServers, Transport};
use crate::model::Outcome;
use crate::net::deadline::{Deadline, DeadlinePassed, span};

/// How many questions may wait to be written; a lookup has two under way.
const WAITING: usize = 4;

/// How much is read at once.
const PIECE: usize = 4096;

/// How long a goodbye may take. A server that does not listen is not waited for.
const GOODBYE: Duration = Duration::from_millis(100);

/// The connections of one lookup.
pub(super) struct Connections {
    servers: NameServers,
    /// One for each server.
    slots: Vec<Mutex<Slot>>,
    tasks: OwnedTasks,
}

/// What there is to one server.
enum Slot {
    /// Nothing yet, or no longer.
    Empty,
    Open(Arc<Connection>),
    /// It could not be opened, which is not tried again in this lookup.
    Failed(Failure),
}

/// One connection.
struct Connection {
    channel: Channel,
    /// Whether anything was answered over it; set before a question fails because it ended.
    has_answered: Arc<AtomicBool>,
}

/// Where questions go.
enum Channel {
    Stream(mpsc::Sender<PendingQuery>),
    Https(HttpsChannel),
}

impl Connections {
    pub(super) fn new(servers: &NameServers) -> Self {
        let slots = servers.addresses.iter().map(|_| Mutex::new(Slot::Empty)).collect();
        Self { servers: servers.clone(), slots, tasks: OwnedTasks::default() }
    }

    /// Asks one server, over the connection there is or over a new one.
    pub(super) async fn ask(&self, place: usize, question: &Message, deadline: Deadline) -> Result<Message, Failure> {
        loop {
            let connection = self.connection(place, deadline).await?;
            let answer = connection.ask(question, deadline).await;
            // A server may end a connection after as many answers as it likes, and the question then goes to a new one.
            // This ends: every connection that is given up has answered another question of the lookup.
            let has_ended = matches!(&answer, Err(failure) if failure.outcome == Outcome::Closed);
            if !has_ended || !connection.has_answered.load(Ordering::Relaxed) {
                return answer;
            }
            self.forget(place, &connection).await;
        }
    }

    /// Ends the connections, in order where the servers listen.
    pub(super) async fn close(self, deadline: Deadline) {
        let Self { slots, tasks, .. } = self;
        drop(slots);
        let _ = deadline.or_within(GOODBYE).run(tasks.ended()).await;
    }

    /// The connection to that server. The first question opens it; the others wait, and share what came of it.
    async fn connection(&self, place: usize, deadline: Deadline) -> Result<Arc<Connection>, Failure> {
        let mut slot = deadline.run(self.slots[place].lock()).await.map_err(Failure::late)?;
        match &*slot {
            Slot::Open(connection) => Ok(Arc::clone(connection)),
            Slot::Failed(failure) => Err(failure.clone()),
            Slot::Empty => match self.open(self.servers.addresses[place], deadline).await {
                Ok(connection) => {
                    let connection = Arc::new(connection);
                    *slot = Slot::Open(Arc::clone(&connection));
                    Ok(connection)
                }
                Err(failure) => {
                    *slot = Slot::Failed(failure.clone());
                    Err(failure)
                }
            },
        }
    }

    /// Takes a connection that ended out of its slot, unless another stands there by now.
    async fn forget(&self, place: usize, ended: &Arc<Connection>) {
        let mut slot = self.slots[place].lock().await;
        if matches!(&*slot, Slot::Open(connection) if Arc::ptr_eq(connection, ended)) {
            *slot = Slot::Empty;
        }
    }

    async fn open(&self, server: SocketAddr, deadline: Deadline) -> Result<Connection, Failure> {
        let allowed = deadline.remaining();
        let stream = match deadline.run(TcpStream::connect(server)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Failure::of_socket(server, &error)),
            Err(DeadlinePassed) => {
                let words = format!("{server}: no answer to SYN within {}", span(allowed));
                return Err(Failure::new(Outcome::Timeout, words));
            }
        };
        // Two small questions in a row: the second must not wait for the first to be acknowledged. Failing to set it makes
        // a lookup slower, and nothing wrong.
        let _ = stream.set_nodelay(true);
        let prove = async |tls: &DnsTls, stream| tls.handshake(stream, server, deadline).await;
        let has_answered = Arc::<AtomicBool>::default();
        let heard = Arc::clone(&has_answered);
        let channel = match &self.servers.transport {
            // A server that is asked with datagrams is asked over TCP where an answer was cut short.
            Transport::Udp | Transport::Tcp => Channel::Stream(serve(&self.tasks, stream, server, heard)),
            Transport::Tls(tls) => Channel::Stream(serve(&self.tasks, prove(tls, stream).await?, server, heard)),
            Transport::Https { tls, path } => {
                let stream = prove(tls, stream).await?;
                Channel::Https(HttpsChannel::new(stream, server, &tls.host(), path, &self.tasks).await?)
            }
        };
        Ok(Connection { channel, has_answered })
    }
}

impl Connection {
    async fn ask(&self, question: &Message, deadline: Deadline) -> Result<Message, Failure> {
        let answer = match &self.channel {
            Channel::Stream(queries) => deadline.run(over_stream(queries, question)).await,
            Channel::Https(channel) => deadline.run(channel.ask(question)).await,
        };
        let answer = answer.unwrap_or_else(|late| Err(Failure::late(late)));
        self.has_answered.fetch_or(answer.is_ok(), Ordering::Relaxed);
        answer
    }
}

/// Serves a stream until no question can come any more.
fn serve<S>(
    tasks: &OwnedTasks,
    stream: S,
    server: SocketAddr,
    has_answered: Arc<AtomicBool>,
) -> mpsc::Sender<PendingQuery>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (queries, asked) = mpsc::channel(WAITING);
    tasks.spawner().spawn(run(stream, server, asked, has_answered));
    queries
}

/// A question on its way, and where its answer goes.
struct PendingQuery {
    question: Message,
    bytes: Vec<u8>,
    answer: oneshot::Sender<Result<Message, Failure>>,
}

async fn over_stream(queries: &mpsc::Sender<PendingQuery>, question: &Message) -> Result<Message, Failure> {
    let (answer, answered) = oneshot::channel();
    let bytes = framed(&encode(question)?);
    let asked = PendingQuery { question: question.clone(), bytes, answer };
    let has_ended = |()| Failure::new(Outcome::Closed, "the connection had ended before the question");
    queries.send(asked).await.map_err(|_| has_ended(()))?;
    answered.await.unwrap_or_else(|_| Err(has_ended(())))
}

/// Writes questions as they come and hands answers to those they belong to, until the questions end or the stream does.
async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    server: SocketAddr,
    mut asked: mpsc::Receiver<PendingQuery>,
    has_answered: Arc<AtomicBool>,
) {
    let mut waiting: Vec<PendingQuery> = Vec::new();
    let mut received = Vec::with_capacity(PIECE);
    let failure = loop {
        received.reserve(PIECE);
        let outcome = tokio::select! {
            question = asked.recv() => {
                let Some(question) = question else {
                    // The answers are there or given up; what goes wrong now changes nothing.
                    let _ = stream.shutdown().await;
                    return;
                };
                let written = write(&mut stream, &question.bytes).await;
                waiting.push(question);
                written.map_err(|error| Failure::of_stream(server, &error))
            }
            read = stream.read_buf(&mut received) => match read {
                Ok(0) if received.is_empty() => Err(Failure::closed(server, "without an answer")),
                Ok(0) => Err(Failure::closed(server, "in the middle of an answer")),
                Ok(_) => hand_out(server, &mut received, &mut waiting)
                    .map(|answers| { has_answered.fetch_or(answers > 0, Ordering::Relaxed); }),
                Err(error) => Err(Failure::of_stream(server, &error)),
            },
        };
        if let Err(failure) = outcome {
            break failure;
        }
    };
    asked.close();
    while let Ok(question) = asked.try_recv() {
        waiting.push(question);
    }
    for question in waiting {
        // The lookup may have given up.
        let _ = question.answer.send(Err(failure.clone()));
    }
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Takes whole answers out of what was received and gives them to the waiting questions. Returns how many there were.
///
/// # Errors
/// Where an answer cannot be read, or belongs to no question.
fn hand_out(server: SocketAddr, received: &mut Vec<u8>, waiting: &mut Vec<PendingQuery>) -> Result<usize, Failure> {
    let mut answers_given = 0;
    while let Some(length) = received.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length))) {
        let Some(answer) = received.get(2..2 + length) else { break };
        let message = decode(server, answer)?;
        received.drain(..2 + length);
        let Some(place) = waiting.iter().position(|asked| answers(&message, &asked.question)) else {
            let words = format!("{server}: the answer belongs to another question");
            return Err(Failure::new(Outcome::Malformed, words));
        };
        let _ = waiting.swap_remove(place).answer.send(Ok(message));
        answers_given += 1;
    }
    Ok(answers_given)
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::{OpCode, Query};
    use hickory_resolver::proto::rr::{Name, RecordType};
    use proptest::prelude::*;

    use super::*;

    const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 53);

    fn question(id: u16, name: &str) -> Message {
        let mut question = Message::query();
        question.metadata.id = id;
        question.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
        question
    }

    fn answer(question: &Message) -> Vec<u8> {
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        answer.add_query(question.queries[0].clone());
        framed(&answer.to_vec().unwrap())
    }

    type Answered = oneshot::Receiver<Result<Message, Failure>>;

    fn asked(question: &Message) -> (PendingQuery, Answered) {
        let (answer, answered) = oneshot::channel();
        (PendingQuery { question: question.clone(), bytes: Vec::new(), answer }, answered)
    }

    #[test]
    fn answers_go_to_their_questions_in_whatever_order_and_pieces_they_come() {
        // The same id for both, as chance will have it some day.
        let (one, two) = (question(7, "one.test."), question(7, "two.test."));
        let bytes = [answer(&two), answer(&one)].concat();
        let ((first, mut of_one), (second, mut of_two)) = (asked(&one), asked(&two));
        let (mut waiting, mut received) = (vec![first, second], Vec::new());
        for byte in bytes {
            received.push(byte);
            hand_out(SERVER, &mut received, &mut waiting).unwrap();
        }
        assert_eq!(of_one.try_recv().unwrap().unwrap().queries, one.queries);
        assert_eq!(of_two.try_recv().unwrap().unwrap().queries, two.queries);
        assert!(waiting.is_empty() && received.is_empty());
    }

    #[tokio::test]
    async fn a_question_that_nobody_waits_for_any_more_does_not_spoil_the_next() {
        let (one, two) = (question(1, "one.test."), question(2, "two.test."));
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let tasks = OwnedTasks::default();
        let line = serve(&tasks, ours, SERVER, Arc::default());
        let (mut abandoned, given_up) = asked(&one);
        abandoned.bytes = framed(&one.to_vec().unwrap());
        drop(given_up);
        line.send(abandoned).await.unwrap();
        // The answer to the first comes when the second has been asked.
        let late = async {
            let mut both = [&one, &two].map(|question| framed(&question.to_vec().unwrap())).concat();
            theirs.read_exact(&mut both).await.unwrap();
            theirs.write_all(&[answer(&one), answer(&two)].concat()).await.unwrap();
        };
        let (answered, ()) = tokio::join!(over_stream(&line, &two), late);
        assert_eq!(answered.unwrap().queries, two.queries);
        drop(line);
        tasks.ended().await;
        assert_eq!(theirs.read(&mut [0; 1]).await.unwrap(), 0, "the stream ends with the questions");
    }

    proptest! {
        /// Whatever a server sends, what is kept of it is bounded by one answer.
        #[test]
        fn any_stream_is_handed_out_or_refused(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20)) {
            let (first, _answered) = asked(&question(7, "one.test."));
            let (mut waiting, mut received) = (vec![first], Vec::new());
            for piece in pieces {
                received.extend(piece);
                if hand_out(SERVER, &mut received, &mut waiting).is_err() {
                    break;
                }
                prop_assert!(received.len() < 2 + usize::from(u16::MAX));
            }
        }
    }
}
