"""Programs for the hook outside of dhcp4d, in Python 3.7 or later, without other modules.

    import dhcp4o6_hook as hook

    def decide(query):
        if query.interface_id == b"port-7":
            return hook.Drop("unpaid", keep=60)
        return hook.Continue(keep=60)

    hook.serve("/run/dhcp4d-hook/socket", decide=decide)

docs/write-a-hook.md begins at nothing and ends with a program. docs/outside.md is the layout of the
records. Copy this file beside your program.
"""

import ipaddress
import logging
import os
import queue
import signal
import socket
import struct
import threading
import time

__all__ = ["Answer", "Continue", "Drop", "Event", "Query", "Relay", "Server", "serve"]

VERSION = 1
MAX_FROM_DAEMON = 1 << 17
MAX_FROM_PROGRAM = 4 << 10
# Seconds: who says no hello for so long is no daemon, and one that does not read for so long has hung.
HELLO_WITHIN, SEND_WITHIN = 5, 10

HELLO, QUERY, ANSWER, EVENT, DONE, FORGET = range(1, 7)

DISCOVER, REQUEST, DECLINE, RELEASE, INFORM = 1, 3, 4, 7, 8

_log = logging.getLogger("dhcp4o6_hook")

_HEADER = struct.Struct("!IBBHQ")
_FIELD = struct.Struct("!HH")


def _text(value):
    return value.decode("utf-8", "replace")


def _number(value):
    return int.from_bytes(value, "big")


def _octets(value):
    return bytes(value)


class Relay:
    """A relay level: link_address, peer_address, and options as a list of (code, octets)."""

    def __init__(self, value):
        self.link_address = ipaddress.IPv6Address(value[:16])
        self.peer_address = ipaddress.IPv6Address(value[16:32])
        self.options = list(_fields(value[32:]))

    def option(self, code):
        """The octets of the first DHCPv6 option of a code, None if there is none."""
        return next((value for c, value in self.options if c == code), None)


# The fields of questions and events: code, name, and what makes a value of the octets.
_KNOWN = {
    1: ("daemon", _text), 2: ("software", _text), 3: ("name", _text), 4: ("highest", _number), 5: ("timeout", _number),
    7: ("cursor", _octets), 20: ("point", _text), 21: ("key", _octets), 22: ("message_type", _number),
    23: ("message", _octets), 24: ("hardware", _octets), 25: ("client_id", _octets), 26: ("subnet", _number),
    27: ("interface", _text), 28: ("source", ipaddress.IPv6Address), 29: ("link_address", ipaddress.IPv6Address),
    30: ("interface_id", _octets), 31: ("remote_id", _octets), 33: ("peer", _text), 34: ("message6", _octets),
    35: ("attachment", _octets), 54: ("address", ipaddress.IPv4Address), 70: ("event", _text), 71: ("time", _number),
    72: ("state", _text), 73: ("start", _number), 74: ("changed", _number), 75: ("expires", _number), 76: ("by", _text),
}
_RELAY, _AGAIN = 32, 77


class _Record:
    """The fields of a record as attributes. What is not there is None."""

    def __init__(self, fields):
        for name, _ in _KNOWN.values():
            setattr(self, name, None)
        self.relays, self.again = [], False
        for code, value in fields:
            if code == _RELAY:
                self.relays.append(Relay(value))
            elif code == _AGAIN:
                self.again = True
            elif code in _KNOWN:
                name, make = _KNOWN[code]
                setattr(self, name, make(value))

    @property
    def mac(self):
        """The hardware address as text, such as 02:00:00:00:00:01; empty if there is none."""
        return ":".join("%02x" % b for b in (self.hardware or b"")[1:])


class Query(_Record):
    """A question about a query.

    number, point, key, message_type, message, hardware, client_id, subnet, interface, source,
    link_address, interface_id, remote_id, relays, peer, attachment: see docs/outside.md.
    """

    def __init__(self, number, fields):
        super().__init__(fields)
        self.number = number

    def option(self, code):
        """The octets of a DHCPv4 option, None if there is none. Its pieces are joined (RFC 3396)."""
        message, at, found = self.message or b"", 240, None
        while at < len(message):
            this = message[at]
            if this == 255:
                break
            if this == 0:
                at += 1
                continue
            if at + 2 > len(message):
                break
            end = at + 2 + message[at + 1]
            if this == code:
                found = (found or b"") + message[at + 2 : end]
            at = end
        return found


class Event(_Record):
    """A change of a lease.

    event, time, address, subnet, state, hardware, client_id, attachment, remote_id, source, start,
    changed, expires (None: never), by, interface, relays, again, cursor: see docs/outside.md.
    """


class Answer:
    """A verdict. Continue and Drop make one."""

    def __init__(self, fields):
        self.fields = fields

    def record(self, number):
        return _record(ANSWER, number, self.fields)


def Continue(keep=0, classes=(), address=None, pool=None, lease_time=0, options=()):
    """The query goes on.

    keep: seconds for which the verdict holds for all queries of the same key. classes: names of
    classes with marked: true. address: that the client gets, or no answer. pool: name of the pools
    that it gets an address of. lease_time: seconds. options: (code, octets) for the reply; None as
    octets leaves the option out.
    """
    if isinstance(classes, str):
        raise TypeError("classes is the text %r: give a list, such as [%r]" % (classes, classes))
    fields = [(50, b"\x01")] + _seconds("keep", 52, keep)
    fields += [(53, name.encode()) for name in classes]
    if address is not None:
        fields.append((54, ipaddress.IPv4Address(address).packed))
    if pool is not None:
        fields.append((55, pool.encode()))
    fields += _seconds("lease_time", 56, lease_time)
    for code, value in options:
        if not (isinstance(code, int) and 0 < code < 255):
            raise ValueError("option %r: give a code from 1 to 254" % (code,))
        if not isinstance(value, (bytes, bytearray, type(None))):
            raise TypeError("option %d has the value %r: give octets, such as b'text', or None" % (code, value))
        fields.append((57, bytes([code]) + (value or b"")))
    return Answer(fields)


def Drop(reason="", keep=0):
    """The query is dropped, for a reason of DHCP4D_OUTSIDE_REASONS."""
    return Answer([(50, b"\x02")] + ([(51, reason.encode())] if reason else []) + _seconds("keep", 52, keep))


def _seconds(name, code, value):
    if not value:
        return []
    if not (isinstance(value, (int, float)) and 0 < value < 1 << 32 and value == int(value)):
        raise ValueError("%s is %r: give whole seconds from 0 to %d" % (name, value, (1 << 32) - 1))
    return [(code, struct.pack("!I", int(value)))]


def _record(kind, number, fields):
    body = b"".join(_FIELD.pack(code, len(value)) + value for code, value in fields)
    return _HEADER.pack(12 + len(body), VERSION, kind, 0, number) + body


def _fields(octets):
    """The fields of a record, or the options of a relay level. ValueError if lengths do not agree."""
    at = 0
    while at < len(octets):
        if at + 4 > len(octets):
            raise ValueError("the octets end within a field")
        code, length = _FIELD.unpack_from(octets, at)
        at += 4
        if at + length > len(octets):
            raise ValueError("the octets end within the value of field %d" % code)
        yield code, octets[at : at + length]
        at += length


def serve(path, decide=None, told=None, cursor=None, workers=0, name="", mode=0o660):
    """Serves until SIGINT or SIGTERM.

    path: of the UNIX socket that dhcp4d connects to (DHCP4D_OUTSIDE_SOCKET). mode: its permissions.
    decide: gets a Query and returns Continue(...) or Drop(...). With None, or after an exception,
    no answer is sent, and dhcp4d does what DHCP4D_OUTSIDE_POLICY says.
    workers: how many questions are decided at once. With 0, each is decided when the one before is,
    which is best if decide waits for nothing.
    told: gets an Event for each change of a lease, one by one and in order, at least once. After an
    exception it gets the same one again, a little later.
    cursor: the file that keeps how far told has come. Without it, told gets only what happens while
    the program is connected.
    name: of the program, for the logs of dhcp4d.
    """
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    server = Server(path, decide, told, cursor, workers, name, mode)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.stop())
    server.run()


class Server:
    """What serve runs. A program that has more to do runs one in a thread: run, forget, stop."""

    def __init__(self, path, decide=None, told=None, cursor=None, workers=0, name="", mode=0o660):
        self.path, self.decide, self.told, self.cursor, self.name, self.mode = path, decide, told, cursor, name, mode
        self.workers, self.questions = workers, queue.Queue(1 << 14)  # others get no answer
        self.ended = threading.Event()
        self.telling, self.lock = threading.Lock(), threading.Lock()
        self.connections, self.latest = set(), {}
        self.wake_read, self.wake_write = os.pipe()

    def run(self):
        """Serves until stop is called."""
        # The socket is made under another name and put into its place, so that there is one at
        # every moment, also while a program takes the place of another one.
        made = self.path + ".new"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if os.path.lexists(made):
                os.unlink(made)
            listener.bind(made)
            os.chmod(made, self.mode)
            listener.listen()
            os.rename(made, self.path)
        except OSError as error:
            listener.close()
            # The error of bind names no path.
            raise OSError("making the socket %s: %s" % (self.path, error)) from None
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        for _ in range(self.workers):
            threading.Thread(target=self._work, daemon=True).start()
        os.read(self.wake_read, 1)
        self.ended.set()
        try:
            listener.shutdown(socket.SHUT_RDWR)  # ends accept
        except OSError:
            pass
        listener.close()
        with self.lock:
            open_now = list(self.connections)
        for connection in open_now:
            connection.close()
        until = time.monotonic() + 2  # decide or told may hang
        for connection in open_now:
            connection.joined.wait(max(0, until - time.monotonic()))

    def stop(self):
        """Ends run."""
        os.write(self.wake_write, b"x")

    def forget(self, key=None):
        """Has all daemons that are connected ask again about a key, about all without one."""
        record = _record(FORGET, 0, [] if key is None else [(21, key)])
        with self.lock:
            open_now = list(self.connections)
        for connection in open_now:
            connection.send(record)

    def _work(self):
        while True:
            connection, number, fields, asked = self.questions.get()
            # What has waited for longer than dhcp4d does needs no answer.
            if not connection.patience or time.monotonic() - asked < connection.patience:
                connection.send(connection._decide(number, fields))

    def _accept(self, listener):
        while not self.ended.is_set():
            try:
                conn, _ = listener.accept()
            except OSError as error:
                if self.ended.wait(0.1):
                    return
                _log.warning("a connection cannot be accepted: %s", error)
                continue
            connection = _Connection(self, conn)
            with self.lock:
                self.connections.add(connection)
            threading.Thread(target=connection.run, daemon=True).start()


class _Connection:
    """A connection to one daemon."""

    def __init__(self, server, conn):
        self.server, self.conn, self.who = server, conn, "a daemon"
        self.sending, self.events, self.patience = threading.Lock(), None, 0
        self.closed, self.joined = threading.Event(), threading.Event()
        self._limit(socket.SO_RCVTIMEO, HELLO_WITHIN)
        self._limit(socket.SO_SNDTIMEO, SEND_WITHIN)

    def _limit(self, option, seconds):
        self.conn.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", seconds, 0))

    def run(self):
        try:
            self._read()
        except (OSError, ValueError) as error:
            if not self.closed.is_set():
                _log.warning("the connection to %s has ended: %s", self.who, error)
        finally:
            self.close()
            if self.events:
                self.events.queue.put(None)
            with self.server.lock:
                self.server.connections.discard(self)
            self.joined.set()

    def close(self):
        self.closed.set()
        try:
            self.conn.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.conn.close()

    def send(self, octets):
        with self.sending:
            try:
                self.conn.sendall(octets)
            except OSError:
                self.close()  # whoever reads says why

    def _read(self):
        unread, greeted, server = b"", False, self.server
        while True:
            chunk = self.conn.recv(1 << 18)
            if not chunk:
                if unread:
                    raise ValueError("it ended within a record")
                return
            unread += chunk
            at, answers = 0, []
            while len(unread) - at >= 4:
                end = at + 4 + _number(unread[at : at + 4])
                if end - at < 16 or end - at > MAX_FROM_DAEMON:
                    raise ValueError("a record has %d octets" % (end - at))
                if end > len(unread):
                    break
                _, version, kind, _, number = _HEADER.unpack_from(unread, at)
                if version != VERSION:
                    raise ValueError("a record has version %d of the layout" % version)
                fields = list(_fields(unread[at + 16 : end]))
                at = end
                if not greeted and kind != HELLO:
                    raise ValueError("the first record is no hello")
                if not greeted:
                    greeted = True
                    self._limit(socket.SO_RCVTIMEO, 0)
                if kind == HELLO:
                    self._greet(_Record(fields))
                elif kind == QUERY and server.decide and server.workers:
                    try:
                        server.questions.put_nowait((self, number, fields, time.monotonic()))
                    except queue.Full:
                        pass
                elif kind == QUERY and server.decide:
                    answers.append(self._decide(number, fields))
                elif kind == EVENT and self.events:
                    self.events.add(Event(fields))
            unread = unread[at:]
            if answers:
                self.send(b"".join(answers))

    def _greet(self, hello):
        self.patience = (hello.timeout or 0) / 1000
        self.who = " ".join(word for word in (hello.daemon, hello.name) if word)
        fields = [(3, self.server.name.encode())] if self.server.name else []
        if self.server.told and not self.events:
            self.events = _Events(self, hello.name)
            fields += self.events.wants()
            threading.Thread(target=self.events.run, daemon=True).start()
        self.send(_record(HELLO, 0, fields))

    def _decide(self, number, fields):
        try:
            answer = self.server.decide(Query(number, fields))
            if answer is None:
                return b""
            if not isinstance(answer, Answer):
                raise TypeError("decide has returned %r: return Continue(...), Drop(...) or None" % (answer,))
            record = answer.record(number)
            if len(record) > MAX_FROM_PROGRAM:
                raise ValueError("an answer of %d octets is too long" % len(record))
            return record
        except Exception:  # whatever it is, it costs this query only
            _log.exception("decide has failed, its query gets no answer")
            return b""


class _Events:
    """Hands the events of a connection to told."""

    MOST = 1 << 14  # that wait; when there are more, the daemon sends those again

    def __init__(self, connection, daemon):
        self.connection, self.server = connection, connection.server
        self.queue, self.missed = queue.Queue(), False
        self.path = self.server.cursor
        if self.path and daemon:
            self.path += "." + daemon.replace("/", "_")

    def wants(self):
        self.server.latest[self.path] = self
        if not self.path:
            return [(6, b"\x01")]
        try:
            with open(self.path, "rb") as file:
                return [(6, b"\x02"), (7, file.read())]
        except FileNotFoundError:
            return [(6, b"\x02")]

    def add(self, event):
        if self.missed:
            return
        if self.queue.qsize() < self.MOST:
            self.queue.put(event)
        else:
            self.missed = True

    def run(self):
        done, count = None, 0
        while True:
            if self.queue.empty() or count >= 256:
                self._done(done)
                done, count = None, 0
                if self.missed and self.queue.empty():
                    self.connection.close()  # to get what was missed
            event = self.queue.get()
            if event is None or self.connection.closed.is_set():
                self._done(done)
                return
            pause = 0.1
            while not self._tell(event):
                if self.connection.closed.wait(pause):
                    self._done(done)
                    return
                pause = min(2 * pause, 30)
            done, count = event.cursor, count + 1

    def _tell(self, event):
        try:
            with self.server.telling:
                self.server.told(event)
            return True
        except Exception:
            _log.exception("told has failed, it gets the same event again")
            return False

    def _done(self, cursor):
        if cursor is None:
            return
        # A newer connection may have come further.
        if self.path and self.server.latest.get(self.path) is self:
            try:
                with open(self.path + ".new", "wb") as file:
                    file.write(cursor)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(self.path + ".new", self.path)
            except OSError as error:
                _log.error("the cursor cannot be kept, after the next start events come again: %s", error)
        self.connection.send(_record(DONE, 0, [(7, cursor)]))
