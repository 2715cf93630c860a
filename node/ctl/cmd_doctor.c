/* doctor: looks for what is wrong on this host and in the node, and says what to do. What the node
 * knows it is asked for (/v1/check); the rest is seen from here. */
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "node/ctl/ctl.h"

#define DISK_LEAST_MB 200 /* a store that cannot write stops the node */

enum level { WELL = 0, WARNING, CRITICAL };

static const char *const level_names[] = {"ok", "warning", "critical"};

struct doctor {
    struct ctl *ctl;
    enum level worst;
    struct mn_writer findings; /* JSON, with commas */
};

static void say(struct doctor *doctor, enum level level, const char *code, const char *message,
                const char *next)
{
    struct mn_writer *to = &doctor->findings;

    if (level > doctor->worst) doctor->worst = level;
    mn_writer_str(to, mn_writer_size(to) == 0 ? "{\"level\":" : ",{\"level\":");
    json_write_string(to, mn_span_str(level_names[level]));
    ctl_json_str(to, "code", code);
    ctl_json_str(to, "message", message);
    ctl_json_str(to, "next", next);
    mn_writer_str(to, "}");
}

/* ---- this host ---- */

static void look_at_socket(struct doctor *doctor)
{
    struct ctl *ctl = doctor->ctl;
    const char *path = ctl_socket_path(ctl);
    struct stat info;

    if (stat(path, &info) != 0)
        say(doctor, CRITICAL, "no_socket",
            mn_arena_format(&ctl->arena, "there is no admin socket at %s", path),
            "start the node (`meshnode`), or name its directory: meshctl --data DIR doctor");
    else if ((info.st_mode & 0007) != 0)
        say(doctor, WARNING, "open_socket",
            mn_arena_format(&ctl->arena, "everybody on this host may use %s", path),
            "start the node again: it makes its socket private");
    else
        say(doctor, WELL, "socket", mn_arena_format(&ctl->arena, "admin socket %s", path), "");
}

static void look_at_file(struct doctor *doctor, const char *directory, const char *name,
                         mode_t forbidden)
{
    struct ctl *ctl = doctor->ctl;
    const char *path = mn_arena_format(&ctl->arena, "%s/%s", directory, name);
    struct stat info;

    if (stat(path, &info) != 0 || (info.st_mode & forbidden) == 0) return;
    say(doctor, WARNING, "open_file",
        mn_arena_format(&ctl->arena, "others on this host may use %s", path),
        mn_arena_format(&ctl->arena, "chmod go-rwx %s", path));
}

static void look_at_disk(struct doctor *doctor, const char *directory)
{
    struct ctl *ctl = doctor->ctl;
    struct statvfs disk;
    unsigned long long free_mb;

    if (statvfs(directory, &disk) != 0) return;
    free_mb = (unsigned long long)disk.f_bavail * disk.f_frsize >> 20;
    say(doctor, free_mb < DISK_LEAST_MB ? WARNING : WELL, "disk",
        mn_arena_format(&ctl->arena, "%llu MB are free for %s", free_mb, directory),
        free_mb < DISK_LEAST_MB ? "make room: a node that cannot write stops" : "");
}

/* The socket stands in the data directory, unless it is the one for a group. */
static void look_at_data(struct doctor *doctor)
{
    struct ctl *ctl = doctor->ctl;
    const char *path = ctl_socket_path(ctl), *slash = strrchr(path, '/');
    const char *directory;
    struct stat info;

    if (slash == NULL) return;
    directory = mn_arena_format(&ctl->arena, "%.*s", (int)(slash - path), path);
    if (stat(mn_arena_format(&ctl->arena, "%s/identity.key", directory), &info) != 0) return;
    look_at_file(doctor, directory, "", 0077);
    look_at_file(doctor, directory, "identity.key", 0077);
    look_at_file(doctor, directory, "join-token", 0077);
    look_at_disk(doctor, directory);
}

/* ---- the node ---- */

static void look_at_version(struct doctor *doctor)
{
    struct ctl *ctl = doctor->ctl;
    const struct ctl_request request = {.method = "GET", .path = "/v1/version"};
    struct ctl_answer answer;
    int status = ctl_http(ctl, &request, &answer);
    const char *version;

    if (status != CTL_OK) {
        say(doctor, CRITICAL, ctl->failure.code, ctl->failure.text, ctl->failure.hint);
        return;
    }
    version = ctl_show(ctl, ctl_parse_json(ctl, mn_buf_span(answer.body)), "node");
    mn_buf_unref(answer.body);
    if (answer.status != 200)
        say(doctor, CRITICAL, "refused",
            mn_arena_format(&ctl->arena, "the node refuses (HTTP status %ld)", answer.status),
            "run it on the node's own host, as the node's user");
    else if (strcmp(version, MN_VERSION) != 0)
        say(doctor, WARNING, "version",
            mn_arena_format(&ctl->arena, "the node is of version %s, meshctl of %s", version,
                            MN_VERSION),
            "start the node again, if it was just updated");
    else
        say(doctor, WELL, "answers", "the node answers", "");
}

/* The address that clients would use, as they would. */
static void look_at_http(struct doctor *doctor)
{
    struct ctl own = {.err = doctor->ctl->err, .timeout_ms = doctor->ctl->timeout_ms};
    struct ctl *ctl = doctor->ctl;
    const struct ctl_request request = {.method = "GET", .path = "/readyz"};
    struct ctl_answer answer;
    const struct json *root;
    const char *http;

    if (ctl_get(ctl, "/v1/status", &root) != CTL_OK) return;
    http = ctl_show(ctl, root, "node.http");
    if (*http == '\0') return;
    own.server = mn_arena_format(&ctl->arena, "http://%s", http);
    if (ctl_http(&own, &request, &answer) != CTL_OK) {
        say(doctor, WARNING, "http",
            mn_arena_format(&ctl->arena, "clients cannot reach %s: %s", own.server,
                            own.failure.text),
            "see http.listen: meshnode check");
    } else {
        say(doctor, WELL, "http", mn_arena_format(&ctl->arena, "clients reach %s/mcp", own.server),
            "");
        mn_buf_unref(answer.body);
    }
    ctl_http_done(&own);
    mn_arena_done(&own.arena);
}

static void look_at_findings(struct doctor *doctor)
{
    struct ctl *ctl = doctor->ctl;
    const struct json *root, *findings;
    uint32_t found = 0;

    if (ctl_get(ctl, "/v1/check", &root) != CTL_OK) return;
    findings = json_find_str(root, "findings");
    for (const struct json *item = json_is(findings, JSON_ARRAY) ? json_first(findings) : NULL;
         item != NULL; item = json_next(findings, item)) {
        struct mn_span level = ctl_string(item, "level");
        if (mn_span_is(level, "info")) continue;
        found++;
        say(doctor, mn_span_is(level, "critical") ? CRITICAL : WARNING, ctl_show(ctl, item, "code"),
            ctl_show(ctl, item, "message"), ctl_show(ctl, item, "next"));
    }
    if (found == 0)
        say(doctor, WELL, "check",
            mn_arena_format(&ctl->arena, "%.0f member(s), %.0f link(s), %.0f server(s): all well",
                            ctl_number(root, "mesh.alive"), ctl_number(root, "mesh.links"),
                            ctl_number(root, "servers.total")),
            "");
}

/* ---- all members ---- */

static int doctor_all(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        {"NODE", "name", CTL_AS_TEXT, false},
        {"ID", "id", CTL_AS_ID, false},
        {"SCORE", "score", CTL_AS_TEXT, false},
        {"LEVEL", "level", CTL_AS_STATE, false},
    };
    const struct json *root, *missing;
    int status = ctl_get(ctl, "/v1/diagnosis", &root);

    if (status != CTL_OK) return status;
    missing = json_find_str(root, "missing");
    if (ctl_wants_json(ctl)) {
        ctl_print_json(ctl, root);
    } else {
        fprintf(ctl->out, "health %.0f of 100, by %.0f of %.0f members in %.0f ms\n\n",
                ctl_number(root, "score"), ctl_number(root, "answered"), ctl_number(root, "asked"),
                ctl_number(root, "took_ms"));
        ctl_print_rows(ctl, json_find_str(root, "nodes"), columns,
                       sizeof columns / sizeof *columns);
        ctl_print_findings(ctl, root);
        for (const struct json *item = json_is(missing, JSON_ARRAY) ? json_first(missing) : NULL;
             item != NULL; item = json_next(missing, item))
            fprintf(ctl->err, "%s did not answer\n", ctl_show_span(ctl, item->text));
    }
    if (json_is(missing, JSON_ARRAY) && missing->count > 0) return CTL_PARTIAL;
    return mn_span_is(ctl_string(root, "level"), "critical") ? CTL_FAILED : CTL_OK;
}

int ctl_doctor(struct ctl *ctl)
{
    const char *node = ctl_value(ctl, "--node");
    struct doctor doctor = {.ctl = ctl};
    struct mn_writer writer = {0};
    struct mn_buf *text;

    if (node != NULL && strcmp(node, "all") != 0)
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl --data DIR doctor",
                         "--node %s: only all; one node is asked at its own socket", node);
    if (node != NULL) return doctor_all(ctl);
    if (ctl->server == NULL) look_at_socket(&doctor);
    if (ctl->server == NULL && doctor.worst < CRITICAL) look_at_data(&doctor);
    if (doctor.worst < CRITICAL) look_at_version(&doctor);
    if (doctor.worst < CRITICAL && ctl->server == NULL) look_at_http(&doctor);
    if (doctor.worst < CRITICAL) look_at_findings(&doctor);
    ctl_json_begin(&writer, "Check");
    ctl_json_str(&writer, "level", level_names[doctor.worst]);
    mn_writer_str(&writer, ",\"findings\":[");
    mn_writer_add(&writer, mn_buf_span(doctor.findings.buf));
    mn_writer_str(&writer, "]}");
    mn_writer_drop(&doctor.findings);
    text = mn_writer_done(&writer);
    if (ctl_wants_json(ctl))
        ctl_print_json(ctl, ctl_parse_json(ctl, mn_buf_span(text)));
    else
        ctl_print_findings(ctl, ctl_parse_json(ctl, mn_buf_span(text)));
    mn_buf_unref(text);
    return doctor.worst == CRITICAL ? CTL_FAILED : CTL_OK;
}
