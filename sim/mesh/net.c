/* Streams between hosts: delay, bandwidth, cuts in one direction or both, slow paths, resets,
 * strangers. A stream loses nothing while it lives; when it dies, what was in flight arrives up to
 * some point and no further, and the sender does not learn where that was. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/mesh/sim.h"

#define WINDOW 262144 /* bytes in flight before SENT is held back */

struct chunk {
    struct mn_list list;
    struct mn_buf *buf;
    mn_time arrives;
};

/* One direction. Its sender is conn->ends[side]; side of the reader is 1 - side. */
struct pipe {
    struct mn_list chunks;
    uint64_t queued; /* bytes */
    mn_time free_at; /* when the wire has taken what was sent before */
    struct sim_event arrival, sent;
    bool is_sent_due; /* the sender waits for SENT */
    bool is_paused;   /* the reader does not want bytes now */
};

struct end {
    struct sim_host *host; /* NULL once it has closed */
    uint64_t boot;         /* the process that holds it */
    uint64_t id;
};

struct sim_conn {
    struct mn_list list;
    struct sim *sim;
    struct end ends[2];        /* 0 dialed, 1 accepted */
    struct sim_host *hosts[2]; /* where they are, also after they closed */
    struct pipe pipes[2];
    struct sim_event open, closed[2];
    bool is_open, is_dying;
};

static struct sim_path *net_path(const struct sim *sim, const struct sim_host *from,
                                 const struct sim_host *to)
{
    return &sim->net.paths[from->index * sim->hosts_count + to->index];
}

static bool net_is_cut(const struct sim *sim, const struct sim_host *from,
                       const struct sim_host *to)
{
    return net_path(sim, from, to)->is_cut;
}

void sim_net_init(struct sim *sim)
{
    sim->net.delay = 100 + rng_below(&sim->rng_net, 20000);
    sim->net.bytes_per_sec = 1000000U << rng_below(&sim->rng_net, 8);
    sim->net.paths = mn_alloc((size_t)sim->hosts_count * sim->hosts_count * sizeof *sim->net.paths);
    mn_list_init(&sim->net.conns);
}

static bool end_is_live(const struct end *end)
{
    return end->host != NULL && end->host->node != NULL && end->host->boots == end->boot;
}

static void conn_free(struct sim_conn *conn)
{
    struct sim *sim = conn->sim;

    for (int side = 0; side < 2; side++) {
        struct pipe *pipe = &conn->pipes[side];
        while (!mn_list_is_empty(&pipe->chunks)) {
            struct chunk *chunk = MN_CONTAINER(mn_list_take(&pipe->chunks), struct chunk, list);
            mn_buf_unref(chunk->buf);
            mn_free(chunk);
        }
        sim_cancel(sim, &pipe->arrival);
        sim_cancel(sim, &pipe->sent);
        sim_cancel(sim, &conn->closed[side]);
    }
    sim_cancel(sim, &conn->open);
    mn_list_remove(&conn->list);
    mn_free(conn);
}

void sim_net_done(struct sim *sim)
{
    while (!mn_list_is_empty(&sim->net.conns))
        conn_free(MN_CONTAINER(sim->net.conns.next, struct sim_conn, list));
    mn_free(sim->net.paths);
    mn_buf_unref(sim->net.recorded);
}

static mn_time net_delay(struct sim *sim)
{
    return sim->net.delay + rng_below_u64(&sim->rng_net, sim->net.delay / 2 + 1);
}

static void pipe_schedule(struct sim_conn *conn, int side);

static void pipe_sent(struct sim_conn *conn, int side)
{
    struct pipe *pipe = &conn->pipes[side];

    if (!pipe->is_sent_due || pipe->queued > WINDOW) return;
    pipe->is_sent_due = false;
    if (end_is_live(&conn->ends[side]))
        sim_host_input(conn->ends[side].host,
                       &(struct edge_input){.type = EDGE_IN_NET_SENT, .id = conn->ends[side].id});
}

static void pipe_sent_by_dialer(struct sim *sim, void *context)
{
    (void)sim;
    pipe_sent(context, 0);
}

static void pipe_sent_by_acceptor(struct sim *sim, void *context)
{
    (void)sim;
    pipe_sent(context, 1);
}

/* At that time the sender may give more, if the window has room. */
static void pipe_sent_at(struct sim_conn *conn, int side, mn_time at)
{
    struct pipe *pipe = &conn->pipes[side];

    if (pipe->is_sent_due && pipe->queued <= WINDOW)
        sim_at(conn->sim, &pipe->sent, at, side == 0 ? pipe_sent_by_dialer : pipe_sent_by_acceptor,
               conn);
}

static void pipe_arrive(struct sim_conn *conn, int side)
{
    struct sim *sim = conn->sim;
    struct pipe *pipe = &conn->pipes[side];
    struct end *reader = &conn->ends[1 - side];
    struct chunk *chunk = MN_CONTAINER(mn_list_take(&pipe->chunks), struct chunk, list);
    struct mn_buf *buf = chunk->buf;

    pipe->queued -= buf->size;
    mn_free(chunk);
    pipe_sent_at(conn, side, sim->time);
    pipe_schedule(conn, side);
    if (end_is_live(reader))
        sim_host_input(reader->host, &(struct edge_input){.type = EDGE_IN_NET_BYTES,
                                                          .id = reader->id,
                                                          .bytes = mn_buf_span(buf)});
    mn_buf_unref(buf);
}

static void pipe_arrive_from_dialer(struct sim *sim, void *context)
{
    (void)sim;
    pipe_arrive(context, 0);
}

static void pipe_arrive_from_acceptor(struct sim *sim, void *context)
{
    (void)sim;
    pipe_arrive(context, 1);
}

/* Arms the arrival of the oldest chunk, unless a cut, a pause or a frozen reader holds it back. */
static void pipe_schedule(struct sim_conn *conn, int side)
{
    struct sim *sim = conn->sim;
    struct pipe *pipe = &conn->pipes[side];
    struct end *reader = &conn->ends[1 - side];
    struct chunk *chunk;

    if (mn_list_is_empty(&pipe->chunks) || pipe->is_paused || reader->host == NULL ||
        reader->host->is_frozen || net_is_cut(sim, conn->hosts[side], reader->host)) {
        sim_cancel(sim, &pipe->arrival);
        return;
    }
    chunk = MN_CONTAINER(pipe->chunks.next, struct chunk, list);
    sim_at(sim, &pipe->arrival, chunk->arrives,
           side == 0 ? pipe_arrive_from_dialer : pipe_arrive_from_acceptor, conn);
}

static struct sim_conn *net_find(struct sim_host *host, uint64_t id, int *side)
{
    MN_LIST_FOR_EACH (entry, &host->sim->net.conns) {
        struct sim_conn *conn = MN_CONTAINER(entry, struct sim_conn, list);
        for (*side = 0; *side < 2; (*side)++)
            if (conn->ends[*side].host == host && conn->ends[*side].boot == host->boots &&
                conn->ends[*side].id == id)
                return conn;
    }
    return NULL;
}

/* Tells one side that the stream is over. */
static void conn_tell(struct sim_conn *conn, int side, mn_status status)
{
    struct end *end = &conn->ends[side];
    struct sim_host *host = end->host;
    uint64_t id = end->id;
    bool is_live = end_is_live(end);

    end->host = NULL;
    if (is_live)
        sim_host_input(host, &(struct edge_input){.type = EDGE_IN_NET_CLOSED,
                                                  .id = id,
                                                  .status = status,
                                                  .text = mn_span_str("closed by the network")});
}

static void conn_closed(struct sim *sim, void *context)
{
    struct sim_conn *conn = context;

    /* Both events of one connection lead here; tell whoever is still there and can hear it, then
     * forget the connection. */
    for (int side = 0; side < 2; side++) {
        if (conn->ends[side].host == NULL || conn->closed[side].due.index_plus_one != 0) continue;
        if (net_is_cut(sim, conn->hosts[1 - side], conn->hosts[side]))
            sim_at(sim, &conn->closed[side], sim->time + 500 * MN_MS, conn_closed, conn);
        else
            conn_tell(conn, side, MN_CLOSED);
    }
    if (conn->ends[0].host == NULL && conn->ends[1].host == NULL) conn_free(conn);
}

/* [side] has gone away by itself; the other one reads what is on its way, then end-of-file. A
 * [is_reset] loses a random part of what is on its way. */
static void conn_end(struct sim_conn *conn, int side, bool is_reset)
{
    struct sim *sim = conn->sim;
    struct pipe *pipe = &conn->pipes[side];
    struct end *other = &conn->ends[1 - side];
    mn_time last = sim->time + net_delay(sim);

    conn->ends[side].host = NULL;
    conn->is_dying = true;
    if (other->host == NULL) {
        conn_free(conn);
        return;
    }
    if (!mn_list_is_empty(&pipe->chunks)) {
        struct chunk *newest = MN_CONTAINER(pipe->chunks.prev, struct chunk, list);
        last = newest->arrives > last ? newest->arrives : last;
    }
    if (is_reset && last > sim->time)
        last = sim->time + rng_below_u64(&sim->rng_net, last - sim->time + 1);
    sim_at(sim, &conn->closed[1 - side], last + 1, conn_closed, conn);
}

static void net_connected(struct sim *sim, void *context)
{
    struct sim_conn *conn = context;
    struct end *dialer = &conn->ends[0], *acceptor = &conn->ends[1];
    struct sim_host *target = acceptor->host;
    char address[2][32];

    if (!end_is_live(dialer)) {
        conn_free(conn);
        return;
    }
    if (target->node == NULL || net_is_cut(sim, dialer->host, target) ||
        net_is_cut(sim, target, dialer->host)) {
        conn_tell(conn, 0, target->node == NULL ? MN_CLOSED : MN_TIMEOUT);
        conn_free(conn);
        return;
    }
    snprintf(address[0], sizeof address[0], "%s:%u", target->name, SIM_PORT);
    snprintf(address[1], sizeof address[1], "%s:%u", dialer->host->name, 40000);
    conn->is_open = true;
    acceptor->boot = target->boots;
    acceptor->id = sim_host_id(target);
    sim_host_input(target, &(struct edge_input){.type = EDGE_IN_NET_ACCEPTED,
                                                .id = acceptor->id,
                                                .text = mn_span_str(address[1])});
    if (end_is_live(dialer))
        sim_host_input(dialer->host, &(struct edge_input){.type = EDGE_IN_NET_CONNECTED,
                                                          .id = dialer->id,
                                                          .text = mn_span_str(address[0])});
}

static struct sim_host *net_resolve(struct sim *sim, struct mn_span address)
{
    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        char text[32];
        snprintf(text, sizeof text, "%s:%u", sim->hosts[i].name, SIM_PORT);
        if (mn_span_is(address, text)) return &sim->hosts[i];
    }
    return NULL;
}

static void net_dial(struct sim_host *host, const struct edge_output *output)
{
    struct sim *sim = host->sim;
    struct sim_host *target = net_resolve(sim, output->text);
    struct sim_conn *conn;
    mn_time wait = 2 * net_delay(sim);

    if (target == NULL) {
        sim_host_input(host, &(struct edge_input){.type = EDGE_IN_NET_CLOSED,
                                                  .id = output->id,
                                                  .status = MN_NOT_FOUND,
                                                  .text = mn_span_str("no such host")});
        return;
    }
    conn = mn_alloc(sizeof *conn);
    conn->sim = sim;
    conn->ends[0] = (struct end){host, host->boots, output->id};
    conn->ends[1] = (struct end){target, 0, 0};
    conn->hosts[0] = host;
    conn->hosts[1] = target;
    mn_list_init(&conn->pipes[0].chunks);
    mn_list_init(&conn->pipes[1].chunks);
    mn_list_push_back(&sim->net.conns, &conn->list);
    /* A cut path answers nothing: the dial times out. A dead process refuses at once. */
    if (net_is_cut(sim, host, target) || net_is_cut(sim, target, host)) wait = 3 * MN_SEC;
    sim_at(sim, &conn->open, sim->time + wait, net_connected, conn);
}

/* When the bytes of [chunk], the newest in the pipe, arrive: after all earlier ones. */
static void pipe_time(struct sim_conn *conn, int side, struct chunk *chunk)
{
    struct sim *sim = conn->sim;
    struct pipe *pipe = &conn->pipes[side];
    const struct sim_path *path = net_path(sim, conn->hosts[side], conn->hosts[1 - side]);
    mn_time begin = pipe->free_at > sim->time ? pipe->free_at : sim->time;
    uint64_t rate = sim->net.bytes_per_sec / (path->slow > 0 ? path->slow : 1);

    pipe->free_at = begin + (mn_time)chunk->buf->size * MN_SEC / rate;
    chunk->arrives = pipe->free_at + net_delay(sim) + path->slow * MN_MS;
    if (chunk->list.prev != &pipe->chunks) {
        struct chunk *earlier = MN_CONTAINER(chunk->list.prev, struct chunk, list);
        if (chunk->arrives < earlier->arrives) chunk->arrives = earlier->arrives;
    }
}

static void net_send(struct sim_conn *conn, int side, struct mn_buf *buf)
{
    struct sim *sim = conn->sim;
    struct pipe *pipe = &conn->pipes[side];
    struct chunk *chunk = mn_alloc(sizeof *chunk);

    MN_ASSERT(!pipe->is_sent_due);         /* one SEND outstanding */
    if (side == 0 && pipe->free_at == 0) { /* the first words of a dialer */
        mn_buf_unref(sim->net.recorded);
        sim->net.recorded = mn_buf_ref(buf);
    }
    chunk->buf = mn_buf_ref(buf);
    mn_list_push_back(&pipe->chunks, &chunk->list);
    pipe_time(conn, side, chunk);
    pipe->queued += buf->size;
    pipe->is_sent_due = true;
    pipe_sent_at(conn, side, sim->time + 10);
    pipe_schedule(conn, side);
}

void sim_net_do(struct sim_host *host, const struct edge_output *output)
{
    struct sim_conn *conn;
    int side;

    if (output->type == EDGE_OUT_NET_DIAL) {
        net_dial(host, output);
        return;
    }
    conn = net_find(host, output->id, &side);
    if (conn == NULL) return; /* closed meanwhile */
    if (output->type == EDGE_OUT_NET_SEND) {
        if (!conn->is_dying) net_send(conn, side, output->buf);
    } else if (output->type == EDGE_OUT_NET_PAUSE) {
        conn->pipes[1 - side].is_paused = output->flag;
        pipe_schedule(conn, 1 - side);
    } else if (!conn->is_open) {
        conn_free(conn); /* a dial given up */
    } else {
        conn_end(conn, side, false);
    }
}

/* The process died: its kernel resets every stream, if the other side can hear it. */
void sim_net_host_down(struct sim_host *host)
{
    struct sim *sim = host->sim;

    MN_LIST_FOR_EACH_SAFE (entry, &sim->net.conns) {
        struct sim_conn *conn = MN_CONTAINER(entry, struct sim_conn, list);
        if (!conn->is_open) {
            if (conn->ends[0].host == host) conn_free(conn);
            continue;
        }
        for (int side = 0; side < 2; side++)
            if (conn->ends[side].host == host) {
                conn_end(conn, side, true);
                break;
            }
    }
}

static void net_schedule_all(struct sim *sim)
{
    MN_LIST_FOR_EACH (entry, &sim->net.conns) {
        struct sim_conn *conn = MN_CONTAINER(entry, struct sim_conn, list);
        pipe_schedule(conn, 0);
        pipe_schedule(conn, 1);
    }
}

void sim_net_thawed(struct sim_host *host)
{
    net_schedule_all(host->sim);
}

/* Each side hears of it at a moment of its own, and until then reads what still comes. */
static void conn_reset(struct sim_conn *conn)
{
    struct sim *sim = conn->sim;

    if (!conn->is_open || conn->is_dying) return;
    conn->is_dying = true;
    sim->stats.resets++;
    net_path(sim, conn->hosts[0], conn->hosts[1])->changed = sim->time;
    for (int side = 0; side < 2; side++)
        sim_at(sim, &conn->closed[side],
               sim->time + 1 + rng_below_u64(&sim->rng_net, 2 * sim->net.delay), conn_closed, conn);
}

void sim_net_reset_one(struct sim *sim)
{
    struct sim_conn *chosen = NULL;
    uint32_t count = 0;

    MN_LIST_FOR_EACH (entry, &sim->net.conns) {
        struct sim_conn *conn = MN_CONTAINER(entry, struct sim_conn, list);
        if (rng_below(&sim->rng_fault, ++count) == 0) chosen = conn;
    }
    if (chosen != NULL) conn_reset(chosen);
}

void sim_net_reset_all(struct sim *sim)
{
    MN_LIST_FOR_EACH (entry, &sim->net.conns) {
        conn_reset(MN_CONTAINER(entry, struct sim_conn, list));
    }
}

void sim_net_cut(struct sim *sim, uint32_t from, uint32_t to, bool is_cut)
{
    struct sim_path *path = net_path(sim, &sim->hosts[from], &sim->hosts[to]);

    if (from == to) return;
    path->is_cut = is_cut;
    path->changed = sim->time;
    if (is_cut) sim->stats.cuts++;
    net_schedule_all(sim);
}

/* What is on its way travels on at the new speed. */
static void pipe_retime(struct sim_conn *conn, int side)
{
    struct pipe *pipe = &conn->pipes[side];

    pipe->free_at = conn->sim->time;
    MN_LIST_FOR_EACH (entry, &pipe->chunks) {
        pipe_time(conn, side, MN_CONTAINER(entry, struct chunk, list));
    }
    pipe_schedule(conn, side);
}

void sim_net_slow(struct sim *sim, uint32_t from, uint32_t to, uint32_t factor)
{
    struct sim_path *path = net_path(sim, &sim->hosts[from], &sim->hosts[to]);

    if (path->slow != factor) path->changed = sim->time;
    path->slow = factor;
    MN_LIST_FOR_EACH (entry, &sim->net.conns) {
        struct sim_conn *conn = MN_CONTAINER(entry, struct sim_conn, list);
        for (int side = 0; side < 2; side++)
            if (conn->hosts[side]->index == from && conn->hosts[1 - side]->index == to)
                pipe_retime(conn, side);
    }
}

void sim_net_heal(struct sim *sim)
{
    for (uint32_t from = 0; from < sim->hosts_count; from++)
        for (uint32_t to = 0; to < sim->hosts_count; to++) {
            struct sim_path *path = net_path(sim, &sim->hosts[from], &sim->hosts[to]);
            if (path->is_cut) path->changed = sim->time;
            path->is_cut = false;
            sim_net_slow(sim, from, to, 0);
        }
    net_schedule_all(sim);
}

static bool path_was_sound(const struct sim_host *from, const struct sim_host *to, mn_time time)
{
    const struct sim_path *path = net_path(from->sim, from, to);

    return !path->is_cut && path->slow == 0 &&
           (path->changed == 0 || path->changed + time <= from->sim->time);
}

bool sim_net_was_sound(const struct sim_host *a, const struct sim_host *b, mn_time time)
{
    return path_was_sound(a, b, time) && path_was_sound(b, a, time);
}

/* Noise, another protocol, or the first words of some dialer once more. It never closes: the node
 * has to. */
void sim_net_stranger(struct sim_host *host)
{
    struct sim *sim = host->sim;
    uint64_t id = sim_host_id(host);
    struct edge_input bytes = {.type = EDGE_IN_NET_BYTES, .id = id};
    uint32_t kind = rng_below(&sim->rng_fault, 3);
    uint8_t noise[256];

    rng_bytes(&sim->rng_fault, noise, sizeof noise);
    bytes.bytes = mn_span(noise, 1 + rng_below(&sim->rng_fault, sizeof noise));
    if (kind == 1) bytes.bytes = mn_span_str("GET / HTTP/1.1\r\nHost: n1\r\n\r\n");
    if (kind == 2 && sim->net.recorded != NULL) bytes.bytes = mn_buf_span(sim->net.recorded);
    sim_host_input(host, &(struct edge_input){.type = EDGE_IN_NET_ACCEPTED,
                                              .id = id,
                                              .text = mn_span_str("192.0.2.7:999")});
    sim_host_input(host, &bytes);
}
