// A pair of halves that only move datagrams: the least that any 4o6 server must do.
//
//   bare 6 ADDRESS SERVER-PORT [offload]     the link's half
//   bare 4 [offload]                         the answering half
//
// The link's half receives queries on [ADDRESS]:SERVER-PORT. Behind each query it writes where the
// query came from, and sends both to the answering half over ::1. The answering half turns the
// query into an answer in place: it changes types and addresses, and looks up, checks, stores and
// syncs nothing. The link's half cuts off what it has added and sends the answer to where the query
// came from.
//
// Up to BATCH datagrams move at a time, by recvmmsg and sendmmsg on sockets that are polled. With
// "offload" the halves send each other trains of datagrams of one length (UDP_SEGMENT, UDP_GRO).
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define BATCH 64
#define ROW 2048
#define TRAIN 65535
#define LINK_END 6867 // ports of the two halves on ::1
#define LEASE_END 6868

typedef struct sockaddr_in6 address;

// A batch holds datagrams that were received, are changed in place, and are then sent.
static uint8_t rows[BATCH][ROW], train[TRAIN];
static address peers[BATCH];
static struct iovec vectors[BATCH];
static struct mmsghdr messages[BATCH];
static int offload;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static address at(const char *text, int port) {
  address a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  if (inet_pton(AF_INET6, text, &a.sin6_addr) != 1) {
    fprintf(stderr, "%s is no IPv6 address\n", text);
    exit(2);
  }
  return a;
}

static int udp(address local, const address *remote) {
  int octets = 4 << 20, fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  if (fd < 0) die("socket");
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &octets, sizeof octets);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &octets, sizeof octets);
  if (bind(fd, (struct sockaddr *)&local, sizeof local)) die("bind");
  if (remote && connect(fd, (const struct sockaddr *)remote, sizeof *remote)) die("connect");
  return fd;
}

// describe makes message i the first octets of row i. If there are peers, it is to or from peer i.
static void describe(int i, size_t octets, int with_peer) {
  vectors[i].iov_base = rows[i];
  vectors[i].iov_len = octets;
  memset(&messages[i].msg_hdr, 0, sizeof messages[i].msg_hdr);
  messages[i].msg_hdr.msg_iov = &vectors[i];
  messages[i].msg_hdr.msg_iovlen = 1;
  if (with_peer) {
    messages[i].msg_hdr.msg_name = &peers[i];
    messages[i].msg_hdr.msg_namelen = sizeof peers[i];
  }
}

static int take_singly(int fd, int with_peer) {
  for (int i = 0; i < BATCH; i++) describe(i, ROW, with_peer);
  return recvmmsg(fd, messages, BATCH, 0, NULL);
}

// take_train receives a train and writes its datagrams into rows.
static int take_train(int fd) {
  union { char space[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
  struct iovec whole = {train, TRAIN};
  struct msghdr h = {.msg_iov = &whole, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t octets = recvmsg(fd, &h, 0);
  if (octets <= 0) return -1;
  int each = octets, n = 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c))
    if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) memcpy(&each, CMSG_DATA(c), sizeof each);
  for (ssize_t from = 0; from < octets && n < BATCH; from += each, n++) {
    int left = octets - from < each ? octets - from : each;
    memcpy(rows[n], train + from, left);
    messages[n].msg_len = left;
  }
  return n;
}

static void give_singly(int fd, int n) {
  for (int done = 0; done < n;) {
    int k = sendmmsg(fd, messages + done, n - done, 0);
    if (k < 0 && errno == EAGAIN) {
      struct pollfd room = {fd, POLLOUT, 0};
      poll(&room, 1, -1);
      continue;
    }
    done += k > 0 ? k : 1;
  }
}

static void give_trains(int fd, int n) {
  for (int i = 0; i < n;) {
    size_t each = vectors[i].iov_len, octets = 0;
    int first = i;
    for (; i < n && i - first < BATCH && vectors[i].iov_len == each && octets + each < 60000; i++) {
      memcpy(train + octets, rows[i], each);
      octets += each;
    }
    union { char space[CMSG_SPACE(sizeof(uint16_t))]; struct cmsghdr align; } control = {{0}};
    struct iovec whole = {train, octets};
    struct msghdr h = {.msg_iov = &whole, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    uint16_t segment = each;
    c->cmsg_level = IPPROTO_UDP, c->cmsg_type = UDP_SEGMENT, c->cmsg_len = CMSG_LEN(sizeof segment);
    memcpy(CMSG_DATA(c), &segment, sizeof segment);
    if (sendmsg(fd, &h, 0) < 0) perror("sendmsg");
  }
}

static void hand_over(int fd, int n) { offload ? give_trains(fd, n) : give_singly(fd, n); }
static int take_over(int fd) { return offload ? take_train(fd) : take_singly(fd, 0); }

// option finds one of the DHCPv6 options.
static uint8_t *option(uint8_t *o, uint8_t *end, int code, uint8_t **value_end) {
  while (end - o >= 4) {
    int length = o[2] << 8 | o[3];
    if (end - o - 4 < length) return NULL;
    if ((o[0] << 8 | o[1]) == code) {
      *value_end = o + 4 + length;
      return o + 4;
    }
    o += 4 + length;
  }
  return NULL;
}

// answer turns a message into its answer: a DISCOVER into an OFFER, a REQUEST into an ACK. The
// address is 10.x.y.z, where x to z are the end of the hardware address.
static void answer(uint8_t *m, uint8_t *end) {
  while (end - m > 34 && m[0] == 12) { // Relay-forward becomes Relay-reply
    m[0] = 13;
    if (!(m = option(m + 34, end, 9, &end))) return;
  }
  if (end - m < 4) return;
  m[0] = 21, m[1] = 0;
  uint8_t *v4 = option(m + 4, end, 87, &end);
  if (!v4 || end - v4 < 243) return;
  v4[0] = 2;
  v4[16] = 10, v4[17] = v4[31], v4[18] = v4[32], v4[19] = v4[33];
  for (uint8_t *o = v4 + 240; end - o >= 3 && *o != 255; o += *o ? 2 + o[1] : 1)
    if (*o == 53) {
      o[2] = o[2] == 1 ? 2 : 5;
      return;
    }
}

static void answering_half(int ipc) {
  int n = take_over(ipc);
  for (int i = 0; i < n; i++) {
    answer(rows[i], rows[i] + messages[i].msg_len - sizeof(address));
    describe(i, messages[i].msg_len, 0);
  }
  if (n > 0) hand_over(ipc, n);
}

static void up(int link, int ipc) {
  int n = take_singly(link, 1);
  for (int i = 0; i < n; i++) {
    size_t octets = messages[i].msg_len;
    if (octets > ROW - sizeof(address)) octets = ROW - sizeof(address);
    memcpy(rows[i] + octets, &peers[i], sizeof peers[i]);
    describe(i, octets + sizeof peers[i], 0);
  }
  if (n > 0) hand_over(ipc, n);
}

static void down(int ipc, int link) {
  int n = take_over(ipc);
  for (int i = 0; i < n; i++) {
    size_t octets = messages[i].msg_len - sizeof(address);
    memcpy(&peers[i], rows[i] + octets, sizeof peers[i]);
    describe(i, octets, 1);
  }
  if (n > 0) give_singly(link, n);
}

int main(int argc, char **argv) {
  int six = argc >= 4 && argv[1][0] == '6', four = argc >= 2 && argv[1][0] == '4';
  if (!six && !four) {
    fprintf(stderr, "bare 6 ADDRESS SERVER-PORT [offload] | bare 4 [offload]\n");
    return 2;
  }
  offload = !strcmp(argv[argc - 1], "offload");
  address ours = at("::1", six ? LINK_END : LEASE_END), theirs = at("::1", six ? LEASE_END : LINK_END);
  int on = 1, ipc = udp(ours, &theirs), link = six ? udp(at(argv[2], atoi(argv[3])), NULL) : -1;
  if (offload && setsockopt(ipc, IPPROTO_UDP, UDP_GRO, &on, sizeof on)) die("UDP_GRO");
  struct pollfd wait[2] = {{ipc, POLLIN, 0}, {link, POLLIN, 0}};
  puts("ready"), fflush(stdout);
  for (;;) {
    if (poll(wait, six ? 2 : 1, -1) < 0 && errno != EINTR) die("poll");
    if (four && wait[0].revents) answering_half(ipc);
    if (six && wait[0].revents) down(ipc, link);
    if (six && wait[1].revents) up(link, ipc);
  }
}
