/* status, check, version: how this node and its mesh are. */
#include <string.h>

#include "node/ctl/ctl.h"

#define WORD_WIDTH 9

/* ---- findings ---- */

void ctl_print_findings(struct ctl *ctl, const struct json *root)
{
    const struct json *findings = json_find_str(root, "findings");

    if (!json_is(findings, JSON_ARRAY)) return;
    for (const struct json *item = json_first(findings); item != NULL;
         item = json_next(findings, item)) {
        const char *level = ctl_show(ctl, item, "level"), *next = ctl_show(ctl, item, "next");
        fprintf(ctl->out, "%s%-*s%s%s\n", ctl_colour(ctl, level), WORD_WIDTH, level,
                ctl_colour_end(ctl), ctl_show(ctl, item, "message"));
        if (*next != '\0') fprintf(ctl->out, "%*snext: %s\n", WORD_WIDTH, "", next);
    }
}

/* ---- status ---- */

static void print_label(struct ctl *ctl, const char *label)
{
    fprintf(ctl->out, "%-*s", WORD_WIDTH, label);
}

static long long number(const struct json *root, const char *path)
{
    return (long long)ctl_number(root, path);
}

static void print_self(struct ctl *ctl, const struct json *root)
{
    const char *ready = ctl_is_true(root, "node.ready") ? "ready" : "not ready";
    const char *region = ctl_show(ctl, root, "node.region");

    print_label(ctl, "node");
    fprintf(ctl->out, "%s  %s%s%s, %s, up %s, meshnode %s%s%s%s\n",
            ctl_show(ctl, root, "node.name"), ctl_colour(ctl, ready), ready, ctl_colour_end(ctl),
            ctl_show(ctl, root, "node.state"),
            ctl_show_age(ctl, ctl_number(root, "node.uptime_ms")),
            ctl_show(ctl, root, "node.version"), *region == '\0' ? "" : ", region ", region,
            ctl_is_true(root, "node.issuer") ? ", issuer" : "");
    print_label(ctl, "");
    fprintf(ctl->out, "%s\n", ctl_show(ctl, root, "node.id"));
}

static void print_mesh(struct ctl *ctl, const struct json *root)
{
    const char *id = ctl_show(ctl, root, "mesh.id");
    const char *words = ctl_show(ctl, root, "mesh.words");
    const char *expires = ctl_show(ctl, root, "mesh.grant_expires");
    const char *leader = ctl_show(ctl, root, "leader.name");

    print_label(ctl, "mesh");
    fprintf(ctl->out, "%s%s\n", *id == '\0' ? "none yet" : id,
            ctl_is_true(root, "mesh.dev") ? " (dev: open to everybody on this machine)" : "");
    if (*words != '\0') {
        print_label(ctl, "");
        fprintf(ctl->out, "in words: %s\n", words);
    }
    print_label(ctl, "members");
    fprintf(ctl->out, "%lld alive, %lld suspect, %lld dead; %lld link(s)\n",
            number(root, "mesh.alive"), number(root, "mesh.suspect"), number(root, "mesh.dead"),
            number(root, "mesh.links"));
    print_label(ctl, "leader");
    fprintf(ctl->out, "%s\n",
            *leader == '\0' ? "none that this node knows; why: meshctl consensus status" : leader);
    print_label(ctl, "grant");
    fprintf(ctl->out, "%s%s\n", *expires == '\0' ? "none yet" : "until ", expires);
}

static void print_work(struct ctl *ctl, const struct json *root)
{
    print_label(ctl, "tools");
    fprintf(ctl->out, "%lld in the mesh; %lld of %lld server(s) here ready\n",
            number(root, "tools"), number(root, "servers.ready"), number(root, "servers.total"));
    print_label(ctl, "calls");
    fprintf(ctl->out,
            "%lld finished, %lld failed, %lld open; %lld failed over, %lld with unknown outcome\n",
            number(root, "calls.finished"), number(root, "calls.failed"),
            number(root, "calls.open"), number(root, "calls.failed_over"),
            number(root, "calls.outcome_unknown"));
}

static void print_clients(struct ctl *ctl, const struct json *root)
{
    const char *http = ctl_show(ctl, root, "node.http");

    print_label(ctl, "clients");
    if (*http == '\0')
        fprintf(ctl->out, "no HTTP here; on this host: meshnode mcp\n");
    else
        fprintf(ctl->out, "http://%s/mcp%s; how: meshctl client json\n", http,
                mn_span_is(ctl_string(root, "node.http_auth"), "bearer") ? " (bearer)" : "");
}

static int status_once(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, "/v1/status", &root);

    if (status != CTL_OK) return status;
    if (ctl_wants_json(ctl)) {
        ctl_print_json(ctl, root);
        return CTL_OK;
    }
    print_self(ctl, root);
    print_mesh(ctl, root);
    print_work(ctl, root);
    print_clients(ctl, root);
    putc('\n', ctl->out);
    if (mn_span_is(ctl_string(root, "level"), "ok"))
        fprintf(ctl->out, "%s%-*s%sall is well\n", ctl_colour(ctl, "ok"), WORD_WIDTH, "ok",
                ctl_colour_end(ctl));
    ctl_print_findings(ctl, root);
    return CTL_OK;
}

int ctl_status(struct ctl *ctl)
{
    return ctl_watch(ctl, status_once);
}

/* ---- check: one line for a monitor (Monitoring Plugins guidelines), then the details ---- */

enum nagios { NAGIOS_OK = 0, NAGIOS_WARNING, NAGIOS_CRITICAL, NAGIOS_UNKNOWN };

static const char *const nagios_names[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};

static enum nagios nagios_of(struct mn_span level)
{
    if (mn_span_is(level, "ok")) return NAGIOS_OK;
    if (mn_span_is(level, "warning")) return NAGIOS_WARNING;
    return mn_span_is(level, "critical") ? NAGIOS_CRITICAL : NAGIOS_UNKNOWN;
}

static const char *first_message(struct ctl *ctl, const struct json *root)
{
    const struct json *findings = json_find_str(root, "findings"), *worst = NULL;
    enum nagios level = NAGIOS_OK;
    uint32_t count = 0;

    for (const struct json *item = json_is(findings, JSON_ARRAY) ? json_first(findings) : NULL;
         item != NULL; item = json_next(findings, item)) {
        enum nagios own = nagios_of(ctl_string(item, "level"));
        if (own == NAGIOS_UNKNOWN) continue; /* only told */
        count++;
        if (worst == NULL || own > level) {
            worst = item;
            level = own;
        }
    }
    if (worst == NULL) return "all is well";
    if (count == 1) return ctl_show(ctl, worst, "message");
    return mn_arena_format(&ctl->arena, "%s (and %u more)", ctl_show(ctl, worst, "message"),
                           count - 1);
}

/* What is checked, as monitors show it. */
static const char *check_title(const struct ctl *ctl)
{
    if (strcmp(ctl->args[0], "node") == 0) return "NODE";
    return strcmp(ctl->args[0], "mesh") == 0 ? "MESH" : "CONSENSUS";
}

static int check_print(struct ctl *ctl, const struct json *root)
{
    enum nagios level = nagios_of(ctl_string(root, "level"));

    if (ctl_wants_json(ctl)) {
        ctl_print_json(ctl, root);
        return (int)level;
    }
    fprintf(ctl->out, "%s %s%s%s - %s | alive=%lld suspect=%lld dead=%lld links=%lld\n",
            check_title(ctl), ctl_colour(ctl, nagios_names[level]), nagios_names[level],
            ctl_colour_end(ctl), first_message(ctl, root), number(root, "mesh.alive"),
            number(root, "mesh.suspect"), number(root, "mesh.dead"), number(root, "mesh.links"));
    if (!ctl->is_quiet) ctl_print_findings(ctl, root);
    return (int)level;
}

/* A node that does not answer is as bad as it gets; one that may not be asked is not known. */
static int check_failed(struct ctl *ctl, int status)
{
    enum nagios level =
        status == CTL_UNREACHABLE || status == CTL_TIMEOUT ? NAGIOS_CRITICAL : NAGIOS_UNKNOWN;

    if (!ctl_wants_json(ctl))
        fprintf(ctl->out, "%s %s - %s\n", check_title(ctl), nagios_names[level],
                level == NAGIOS_CRITICAL ? "the node does not answer" : "the node cannot be asked");
    return (int)level;
}

/* The diagnosis that `consensus status` ends with. */
static int check_consensus(struct ctl *ctl, const struct json *root)
{
    const char *diagnosis = ctl_show(ctl, root, "diagnosis");
    enum nagios level = !ctl_is_true(root, "quorum")     ? NAGIOS_CRITICAL
                        : strcmp(diagnosis, "well") == 0 ? NAGIOS_OK
                                                         : NAGIOS_WARNING;

    if (ctl_wants_json(ctl))
        ctl_print_json(ctl, root);
    else
        fprintf(ctl->out, "%s %s%s%s - %s | term=%lld commit=%lld\n", check_title(ctl),
                ctl_colour(ctl, nagios_names[level]), nagios_names[level], ctl_colour_end(ctl),
                diagnosis, number(root, "term"), number(root, "commit"));
    return (int)level;
}

int ctl_check(struct ctl *ctl)
{
    const char *what = ctl->args[0];
    bool is_consensus = strcmp(what, "consensus") == 0;
    const struct json *root;
    int status;

    if (strcmp(what, "node") != 0 && strcmp(what, "mesh") != 0 && !is_consensus) {
        (void)ctl_error(ctl, CTL_USAGE, "usage", "meshctl check mesh",
                        "check what? node, mesh or consensus");
        return NAGIOS_UNKNOWN;
    }
    status = ctl_get(ctl, is_consensus ? "/v1/consensus" : ctl_path(ctl, "/v1/check?of=", what, ""),
                     &root);
    if (status != CTL_OK) return check_failed(ctl, status);
    return is_consensus ? check_consensus(ctl, root) : check_print(ctl, root);
}

/* ---- version ---- */

/* Our own is known without a node, so that none is no error. */
int ctl_version(struct ctl *ctl)
{
    const struct ctl_request request = {.method = "GET", .path = "/v1/version"};
    struct mn_writer writer = {0};
    const char *node = NULL;
    struct ctl_answer answer;

    if (ctl_http(ctl, &request, &answer) == CTL_OK) {
        if (answer.status == 200)
            node = ctl_show(ctl, ctl_parse_json(ctl, mn_buf_span(answer.body)), "node");
        mn_buf_unref(answer.body);
    }
    if (ctl_wants_json(ctl)) {
        ctl_json_begin(&writer, "Version");
        ctl_json_str(&writer, "meshctl", MN_VERSION);
        ctl_json_str(&writer, "node", node);
        ctl_json_end(ctl, &writer);
        return CTL_OK;
    }
    fprintf(ctl->out, "meshctl (meshnode) %s\n", MN_VERSION);
    if (node != NULL) fprintf(ctl->out, "node %s\n", node);
    return CTL_OK;
}
