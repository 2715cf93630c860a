#include "node/io/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

#define CHILD_REPORT_MAX 1024 /* bytes of the helper's line */

/* Output that is not at its end this long after the helper's: somebody else holds the pipe. */
#define CHILD_DRAIN_MS 2000

#define CHILD_WRITE_SPANS 64 /* buffers per write */

/* One process with its helper. It lives until its handles are closed. */
struct child_process {
    struct child *child;
    struct mn_map_entry entry; /* by id; out of the map once EXIT was given */
    struct mn_list dirty;      /* in child->dirty while stdin waits to be flushed */
    uint64_t id;
    uv_process_t process;
    uv_pipe_t in, out, err, control;
    uv_timer_t timer; /* STOP's steps; later the end of draining */
    uint32_t handles_count;
    bool has_process; /* uv_spawn() was called */
    bool is_in_open, is_out_open, is_err_open, is_exited;
    bool is_paused, is_stopping, is_ended, is_terminated, is_high, is_writing;
    struct mn_list parts; /* for stdin, not handed to the kernel yet */
    size_t queued;        /* bytes in them */
    uint32_t code;
    char report[CHILD_REPORT_MAX + 1]; /* why it could not be started */
    size_t report_size;
};

struct child_part {
    struct mn_list entry;
    struct mn_buf *buf;
    size_t offset;
};

struct child {
    struct io *io;
    char *helper;
    mn_time term_delay, kill_delay;
    struct mn_map processes;
    struct mn_list dirty;
    uv_idle_t flush;       /* active while somebody is dirty */
    uint8_t *read_buffer;  /* IO_SHARE_MAX */
    size_t read_size;      /* what was asked for */
    bool is_filled;        /* by the last read */
    struct mn_arena arena; /* of one start */
    uint32_t alive_count;  /* processes with open handles, and the flush handle */
    bool is_closing;
};

void child_config_default(struct child_config *config)
{
    *config = (struct child_config){.term_delay = 2 * MN_SEC, .kill_delay = 5 * MN_SEC};
}

/* The helper beside this program, else where packages put it. */
static char *child_find_helper(void)
{
    static const char *const places[] = {"meshnode-child", "../libexec/meshnode/meshnode-child"};
    struct mn_arena arena = {0};
    char folder[4096] = "";
    char *found = NULL;
    ssize_t size = readlink("/proc/self/exe", folder, sizeof folder - 1);
    char *slash = size <= 0 ? NULL : strrchr(folder, '/');
    if (slash != NULL) *slash = '\0';
    for (size_t i = 0; i < 2 && found == NULL; i++) {
        char *path = mn_arena_format(&arena, "%s/%s", folder, places[i]);
        if (access(path, X_OK) == 0 || i == 1) found = strdup(path);
    }
    mn_arena_done(&arena);
    return found;
}

struct child *child_new(struct io *io, const struct child_config *config)
{
    struct child *child = mn_alloc(sizeof *child);
    signal(SIGPIPE, SIG_IGN); /* a child may close its stdin at any time */
    child->io = io;
    child->helper = config->helper != NULL ? strdup(config->helper) : child_find_helper();
    MN_ASSERT(child->helper != NULL);
    child->term_delay = config->term_delay;
    child->kill_delay = config->kill_delay;
    child->read_buffer = mn_alloc(IO_SHARE_MAX);
    mn_map_init(&child->processes, 0); /* ids are the node's own: nobody can choose them */
    mn_list_init(&child->dirty);
    uv_idle_init(io_uv(io), &child->flush);
    child->flush.data = child;
    child->alive_count = 1;
    return child;
}

static void child_release(struct child *child)
{
    if (--child->alive_count > 0) return;
    mn_map_done(&child->processes);
    mn_arena_done(&child->arena);
    mn_free(child->read_buffer);
    free(child->helper);
    mn_free(child);
}

/* The end of a process. */

static void child_process_drop_parts(struct child_process *process)
{
    struct mn_list *entry;
    while ((entry = mn_list_take(&process->parts)) != NULL) {
        struct child_part *part = MN_CONTAINER(entry, struct child_part, entry);
        mn_buf_unref(part->buf);
        mn_free(part);
    }
    process->queued = 0;
}

static void child_process_on_closed(uv_handle_t *handle)
{
    struct child_process *process = handle->data;
    if (--process->handles_count > 0) return;
    child_release(process->child);
    mn_free(process);
}

static void child_process_close(uv_handle_t *handle)
{
    if (!uv_is_closing(handle)) uv_close(handle, child_process_on_closed);
}

static void child_process_close_in(struct child_process *process)
{
    process->is_in_open = false;
    child_process_drop_parts(process);
    mn_list_remove(&process->dirty);
    child_process_close((uv_handle_t *)&process->in);
}

/* Forgets the process and closes all that is left of it. */
static void child_process_finish(struct child_process *process)
{
    if (process->is_ended) return;
    process->is_ended = true;
    mn_map_remove(&process->child->processes, &process->entry);
    child_process_close_in(process);
    child_process_close((uv_handle_t *)&process->out);
    child_process_close((uv_handle_t *)&process->err);
    child_process_close((uv_handle_t *)&process->control);
    child_process_close((uv_handle_t *)&process->timer);
    if (process->has_process) child_process_close((uv_handle_t *)&process->process);
}

static void child_process_give_exit(struct child_process *process)
{
    struct edge_input input = {
        .type = EDGE_IN_CHILD_EXIT,
        .id = process->id,
        .code = process->code,
        .status = process->report_size > 0 ? MN_IO : MN_OK,
        .text = mn_span(process->report, process->report_size),
    };
    child_process_finish(process); /* its memory stays until the loop has closed the handles */
    if (!process->child->is_closing) io_input(process->child->io, &input);
}

static void child_process_on_drained(uv_timer_t *timer)
{
    child_process_give_exit(timer->data);
}

/* EXIT comes when the helper has ended and both outputs were read to their ends. */
static void child_process_check_exit(struct child_process *process)
{
    if (!process->is_exited || process->is_ended) return;
    bool is_held_back = process->is_paused && process->is_stopping;
    if ((process->is_out_open && !is_held_back) || process->is_err_open) {
        if (!process->is_paused)
            uv_timer_start(&process->timer, child_process_on_drained, CHILD_DRAIN_MS, 0);
        return;
    }
    child_process_give_exit(process);
}

static void child_process_on_exit(uv_process_t *handle, int64_t code, int signal)
{
    struct child_process *process = handle->data;
    process->is_exited = true;
    process->code = signal != 0 ? 128 + (uint32_t)signal : (uint32_t)code;
    child_process_close_in(process);
    if (process->is_ended) return;
    uv_timer_stop(&process->timer);
    child_process_check_exit(process);
}

/* Output. */

static void child_on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct child_process *process = handle->data;
    (void)suggested;
    struct child *child = process->child;
    if (child->is_filled) { /* libuv would read 32 times: it ends its turn and comes back */
        *buf = uv_buf_init(NULL, 0);
        return;
    }
    child->read_size = io_share(child->io, IO_READ);
    *buf = uv_buf_init((char *)child->read_buffer, (unsigned)child->read_size);
}

/* To be called with each result; false: there is nothing to look at. */
static bool child_has_read(struct child *child, ssize_t size)
{
    child->is_filled = size == (ssize_t)child->read_size;
    if (size > 0) io_moved(child->io, IO_READ, (size_t)size);
    return size != 0 && size != UV_ENOBUFS;
}

static void child_process_on_output(struct child_process *process, uv_stream_t *stream,
                                    ssize_t size, uint32_t code, bool *is_open)
{
    if (!child_has_read(process->child, size) || process->is_ended) return;
    if (size > 0) {
        const struct edge_input input = {
            .type = EDGE_IN_CHILD_OUT,
            .id = process->id,
            .code = code,
            .bytes = mn_span(process->child->read_buffer, (size_t)size),
        };
        if (!process->child->is_closing) io_input(process->child->io, &input);
        return;
    }
    *is_open = false;
    uv_read_stop(stream);
    child_process_check_exit(process);
}

static void child_process_on_out(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct child_process *process = stream->data;
    (void)buf;
    child_process_on_output(process, stream, size, 1, &process->is_out_open);
}

static void child_process_on_err(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct child_process *process = stream->data;
    (void)buf;
    child_process_on_output(process, stream, size, 2, &process->is_err_open);
}

/* The helper's line about a program that cannot be started. */
static void child_process_on_report(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct child_process *process = stream->data;
    if (!child_has_read(process->child, size)) return;
    if (size < 0) {
        uv_read_stop(stream);
        return;
    }
    for (ssize_t i = 0; i < size && process->report_size < CHILD_REPORT_MAX; i++) {
        if (buf->base[i] != '\n') process->report[process->report_size++] = buf->base[i];
    }
}

/* Input: what is written within a turn goes out as one write at its end. */

struct child_write {
    uv_write_t request;
    struct child_process *process;
    uint32_t count;
    size_t size;
    struct mn_buf *bufs[CHILD_WRITE_SPANS];
};

static void child_process_flush(struct child_process *process);

static void child_process_check_low(struct child_process *process)
{
    if (!process->is_high || process->queued >= CHILD_QUEUE_LOW) return;
    process->is_high = false;
    const struct edge_input input = {.type = EDGE_IN_CHILD_WRITABLE, .id = process->id};
    if (!process->child->is_closing) io_input(process->child->io, &input);
}

static void child_process_on_written(uv_write_t *request, int status)
{
    struct child_write *write = MN_CONTAINER(request, struct child_write, request);
    struct child_process *process = write->process;
    process->is_writing = false;
    for (uint32_t i = 0; i < write->count; i++)
        mn_buf_unref(write->bufs[i]);
    if (process->is_in_open) {
        process->queued -= write->size;
        if (status == 0)
            child_process_flush(process);
        else
            child_process_close_in(process); /* it closed its stdin: what comes is dropped */
        if (!process->is_ended) child_process_check_low(process);
    }
    mn_free(write);
}

/* Fills [spans] with what is queued; returns how many. */
static uint32_t child_process_gather(struct child_process *process, uv_buf_t *spans)
{
    uint32_t count = 0;
    MN_LIST_FOR_EACH (entry, &process->parts) {
        struct child_part *part = MN_CONTAINER(entry, struct child_part, entry);
        if (count == CHILD_WRITE_SPANS) break;
        spans[count++] = uv_buf_init((char *)part->buf->bytes + part->offset,
                                     (unsigned)(part->buf->size - part->offset));
    }
    return count;
}

/* Lets go of [size] bytes that the kernel has taken. */
static void child_process_advance(struct child_process *process, size_t size)
{
    process->queued -= size;
    while (size > 0) {
        struct child_part *part = MN_CONTAINER(process->parts.next, struct child_part, entry);
        size_t left = part->buf->size - part->offset;
        if (size < left) {
            part->offset += size;
            return;
        }
        size -= left;
        mn_list_remove(&part->entry);
        mn_buf_unref(part->buf);
        mn_free(part);
    }
}

/* Has libuv write what the pipe did not take; the bytes count as queued until then. */
static void child_process_write_later(struct child_process *process)
{
    struct child_write *write = mn_alloc(sizeof *write);
    uv_buf_t spans[CHILD_WRITE_SPANS];
    write->process = process;
    write->count = child_process_gather(process, spans);
    for (uint32_t i = 0; i < write->count; i++) {
        struct mn_list *entry = mn_list_take(&process->parts);
        struct child_part *part = MN_CONTAINER(entry, struct child_part, entry);
        write->bufs[i] = part->buf;
        write->size += spans[i].len;
        mn_free(part);
    }
    process->is_writing = true;
    int error = uv_write(&write->request, (uv_stream_t *)&process->in, spans, write->count,
                         child_process_on_written);
    if (error != 0) child_process_on_written(&write->request, error);
}

static void child_process_flush(struct child_process *process)
{
    uv_buf_t spans[CHILD_WRITE_SPANS];
    while (process->is_in_open && !process->is_writing && !mn_list_is_empty(&process->parts)) {
        uint32_t count = child_process_gather(process, spans);
        int size = uv_try_write((uv_stream_t *)&process->in, spans, count);
        if (size == UV_EAGAIN)
            child_process_write_later(process);
        else if (size < 0)
            child_process_close_in(process);
        else
            child_process_advance(process, (size_t)size);
    }
    if (process->is_stopping && process->is_in_open && process->queued == 0)
        child_process_close_in(process); /* all was written: now it sees the end */
}

static void child_on_flush(uv_idle_t *handle)
{
    struct child *child = handle->data;
    struct mn_list *entry;
    while ((entry = mn_list_take(&child->dirty)) != NULL) {
        struct child_process *process = MN_CONTAINER(entry, struct child_process, dirty);
        child_process_flush(process);
        if (!process->is_ended) child_process_check_low(process);
    }
    uv_idle_stop(handle);
}

static void child_process_kill(struct child_process *process);

static void child_process_write(struct child_process *process, struct mn_buf *buf)
{
    if (!process->is_in_open || process->is_stopping || buf == NULL || buf->size == 0) return;
    struct child_part *part = mn_alloc(sizeof *part);
    part->buf = mn_buf_ref(buf);
    mn_list_push_back(&process->parts, &part->entry);
    process->queued += buf->size;
    if (process->queued > CHILD_QUEUE_HIGH) process->is_high = true;
    if (process->queued > CHILD_QUEUE_MAX) child_process_kill(process);
    mn_list_remove(&process->dirty);
    mn_list_push_back(&process->child->dirty, &process->dirty);
    uv_idle_start(&process->child->flush, child_on_flush);
}

/* Stopping. */

static void child_process_command(struct child_process *process, char command)
{
    uv_buf_t span = uv_buf_init(&command, 1);
    /* A byte always fits; when the helper is gone, there is nobody to command. */
    (void)uv_try_write((uv_stream_t *)&process->control, &span, 1);
}

static void child_process_kill(struct child_process *process)
{
    child_process_command(process, 'K');
}

static void child_process_on_stop_timer(uv_timer_t *timer)
{
    struct child_process *process = timer->data;
    if (process->is_terminated) {
        child_process_kill(process);
        return;
    }
    process->is_terminated = true;
    child_process_command(process, 'T');
    uv_timer_start(timer, child_process_on_stop_timer, process->child->kill_delay / MN_MS, 0);
}

static void child_process_stop(struct child_process *process)
{
    if (process->is_stopping) return;
    process->is_stopping = true;
    child_process_flush(process);
    if (process->is_exited) {
        child_process_check_exit(process);
        return;
    }
    uv_timer_start(&process->timer, child_process_on_stop_timer, process->child->term_delay / MN_MS,
                   0);
}

static void child_process_pause(struct child_process *process, bool is_paused)
{
    if (process->is_paused == is_paused) return;
    process->is_paused = is_paused;
    if (is_paused)
        uv_read_stop((uv_stream_t *)&process->out);
    else if (process->is_out_open)
        uv_read_start((uv_stream_t *)&process->out, child_on_alloc, child_process_on_out);
    child_process_check_exit(process);
}

/* Starting. */

/* NAME=value of what the child inherits and is given; the latter wins. */
static char **child_environment(struct child *child, const struct edge_child *start)
{
    static const char *const inherited[] = {"PATH", "HOME", "LANG", "TZ", "TMPDIR"};
    char **env = mn_arena_alloc(&child->arena, (5 + start->env_count + 1) * sizeof(char *));
    uint32_t count = 0;
    for (size_t i = 0; i < sizeof inherited / sizeof *inherited; i++) {
        const char *value = getenv(inherited[i]);
        bool is_given = false;
        for (uint32_t k = 0; k < start->env_count; k++)
            is_given = is_given || mn_span_is(start->env[k].name, inherited[i]);
        if (value != NULL && !is_given)
            env[count++] = mn_arena_format(&child->arena, "%s=%s", inherited[i], value);
    }
    for (uint32_t i = 0; i < start->env_count; i++)
        env[count++] =
            mn_arena_format(&child->arena, "%.*s=%.*s", (int)start->env[i].name.size,
                            (const char *)start->env[i].name.data, (int)start->env[i].value.size,
                            (const char *)start->env[i].value.data);
    env[count] = NULL;
    return env;
}

/* meshnode-child [--cwd DIR] -- argv... */
static char **child_arguments(struct child *child, const struct edge_child *start)
{
    char **args = mn_arena_alloc(&child->arena, (start->argv_count + 5) * sizeof(char *));
    uint32_t count = 0;
    args[count++] = child->helper;
    if (start->cwd.size > 0) {
        args[count++] = mn_arena_format(&child->arena, "--cwd");
        args[count++] = (char *)mn_arena_alloc(&child->arena, start->cwd.size + 1);
        memcpy(args[count - 1], start->cwd.data, start->cwd.size);
        args[count - 1][start->cwd.size] = '\0';
    }
    args[count++] = mn_arena_format(&child->arena, "--");
    for (uint32_t i = 0; i < start->argv_count; i++)
        args[count++] = mn_arena_format(&child->arena, "%.*s", (int)start->argv[i].size,
                                        (const char *)start->argv[i].data);
    args[count] = NULL;
    return args;
}

/* Three pipes: real ones, because programs open /dev/stderr, which a socket refuses. [fds] are the
 * child's ends. */
static int child_process_open_pipes(struct child_process *process, int fds[3])
{
    uv_pipe_t *const ours[3] = {&process->in, &process->out, &process->err};
    for (int i = 0; i < 3; i++) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0) return -errno;
        fds[i] = ends[i == 0 ? 0 : 1];
        int error = uv_pipe_open(ours[i], ends[i == 0 ? 1 : 0]);
        if (error != 0) {
            close(ends[i == 0 ? 1 : 0]);
            return error;
        }
    }
    return 0;
}

static int child_process_spawn(struct child_process *process, const struct edge_child *start)
{
    struct child *child = process->child;
    int fds[3] = {-1, -1, -1};
    int error = child_process_open_pipes(process, fds);
    uv_stdio_container_t stdio[4] = {
        {.flags = UV_INHERIT_FD, .data.fd = fds[0]},
        {.flags = UV_INHERIT_FD, .data.fd = fds[1]},
        {.flags = UV_INHERIT_FD, .data.fd = fds[2]},
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE,
         .data.stream = (uv_stream_t *)&process->control},
    };
    const uv_process_options_t options = {
        .exit_cb = child_process_on_exit,
        .file = child->helper,
        .args = child_arguments(child, start),
        .env = child_environment(child, start),
        .stdio_count = 4,
        .stdio = stdio,
    };
    if (error == 0) {
        process->has_process = true;
        process->handles_count++;
        error = uv_spawn(io_uv(child->io), &process->process, &options);
    }
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0) close(fds[i]);
    }
    mn_arena_reset(&child->arena);
    return error;
}

static void child_process_read(struct child_process *process)
{
    process->is_in_open = process->is_out_open = process->is_err_open = true;
    uv_read_start((uv_stream_t *)&process->out, child_on_alloc, child_process_on_out);
    uv_read_start((uv_stream_t *)&process->err, child_on_alloc, child_process_on_err);
    uv_read_start((uv_stream_t *)&process->control, child_on_alloc, child_process_on_report);
}

static struct child_process *child_process_new(struct child *child, uint64_t id)
{
    uv_loop_t *uv = io_uv(child->io);
    struct child_process *process = mn_alloc(sizeof *process);
    process->child = child;
    process->id = id;
    mn_list_init(&process->dirty);
    mn_list_init(&process->parts);
    mn_map_insert(&child->processes, &process->entry, mn_span(&process->id, sizeof process->id));
    uv_pipe_init(uv, &process->in, 0);
    uv_pipe_init(uv, &process->out, 0);
    uv_pipe_init(uv, &process->err, 0);
    uv_pipe_init(uv, &process->control, 0);
    uv_timer_init(uv, &process->timer);
    process->in.data = process->out.data = process->err.data = process;
    process->control.data = process->timer.data = process->process.data = process;
    process->handles_count = 5;
    child->alive_count++;
    return process;
}

static void child_start(struct child *child, uint64_t id, const struct edge_child *start)
{
    struct child_process *process = child_process_new(child, id);
    int error = child_process_spawn(process, start);
    if (error == 0) {
        child_process_read(process);
        return;
    }
    struct mn_arena arena = {0};
    const char *text = mn_arena_format(&arena, "%s: %s", child->helper, uv_strerror(error));
    process->report_size = strnlen(text, CHILD_REPORT_MAX);
    memcpy(process->report, text, process->report_size);
    process->code = 126;
    mn_arena_done(&arena);
    child_process_give_exit(process);
}

static struct child_process *child_find(const struct child *child, uint64_t id)
{
    struct mn_map_entry *entry = mn_map_find(&child->processes, mn_span(&id, sizeof id));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct child_process, entry);
}

void child_do(struct child *child, const struct edge_output *output)
{
    if (output->type == EDGE_OUT_CHILD_START) {
        child_start(child, output->id, output->child_start);
        return;
    }
    struct child_process *process = child_find(child, output->id);
    if (process == NULL) return;
    switch ((uint32_t)output->type) {
    case EDGE_OUT_CHILD_WRITE: child_process_write(process, output->buf); break;
    case EDGE_OUT_CHILD_PAUSE: child_process_pause(process, output->flag); break;
    case EDGE_OUT_CHILD_STOP: child_process_stop(process); break;
    default: break;
    }
}

static void child_on_closed(uv_handle_t *handle)
{
    child_release(handle->data);
}

void child_close(struct child *child)
{
    struct mn_map_entry *entry;
    if (child == NULL) return;
    child->is_closing = true;
    while ((entry = mn_map_next(&child->processes, NULL)) != NULL)
        child_process_finish(MN_CONTAINER(entry, struct child_process, entry));
    uv_close((uv_handle_t *)&child->flush, child_on_closed);
}
