#include "node/io/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/identity.h"
#include "crypto/token.h"
#include "node/io/config.h"
#include "node/io/files.h"
#include "node/io/process.h"
#include "node/io/run.h"
#include "proto/base/memory.h"

#define SETUP_PATH_SIZE 4096

/* ---- the configuration file ---- */

/* "http.auth.bearer" under "http.listen" opens "auth:" only. */
static void setup_write_key(struct mn_writer *to, const char *key, const char *before, bool is_set)
{
    size_t shared = 0;
    int depth = 0;
    for (size_t i = 0; key[i] != '\0' && key[i] == before[i]; i++) {
        if (key[i] != '.') continue;
        shared = i + 1;
        depth++;
    }
    const char *part = key + shared, *dot;
    while ((dot = strchr(part, '.')) != NULL) {
        mn_writer_format(to, "%s%*s%.*s:\n", depth == 0 || is_set ? "" : "#", 2 * depth, "",
                         (int)(dot - part), part);
        part = dot + 1;
        depth++;
    }
    mn_writer_format(to, "%s%*s%s: ", is_set ? "" : "#", 2 * depth, "", part);
}

static void setup_write_value(struct mn_writer *to, const struct option_spec *spec,
                              const struct option_value *value)
{
    if (spec->attributes & OPTION_IS_SECRET)
        mn_writer_str(to, "\"${file:/path}\"");
    else if (value->items_count == 0)
        mn_writer_str(to, (spec->attributes & OPTION_IS_LIST) ? "[]" : "\"\"");
    else if (spec->attributes & OPTION_IS_LIST)
        mn_writer_format(to, "[\"%s\"]", value->items[0]);
    else
        mn_writer_format(to, spec->type == OPTION_TEXT ? "\"%s\"" : "%s", value->items[0]);
}

void setup_write_config(const struct options *options, const char *data, struct mn_writer *to)
{
    const char *before = "";
    mn_writer_str(to, "# meshnode. Each line shows a default; remove the # to change it.\n"
                      "# Flags and MESHNODE_SECTION_KEY variables come before this file.\n");
    for (uint32_t i = 0; i < options->count; i++) {
        const struct option_spec *spec = &options->specs[i];
        bool is_set = data != NULL && strcmp(spec->key, "node.data") == 0;
        setup_write_key(to, spec->key, before, is_set);
        if (is_set)
            mn_writer_format(to, "\"%s\"", data);
        else
            setup_write_value(to, spec, &options->values[i]);
        mn_writer_format(to, "  # %s\n", spec->help);
        before = spec->key;
    }
}

/* A new file; one that exists is the user's own. */
static bool setup_write_new(const char *path, struct mn_buf *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 && errno == EEXIST) {
        printf("%s is there already\n", path);
        return true;
    }
    bool is_done = fd >= 0 && write(fd, text->bytes, text->size) == (ssize_t)text->size;
    if (fd >= 0) close(fd);
    if (is_done)
        printf("%s written\n", path);
    else
        fprintf(stderr, "meshnode: %s: %s\n", path, strerror(errno));
    return is_done;
}

static bool setup_make_directory(const char *file)
{
    char path[SETUP_PATH_SIZE];
    snprintf(path, sizeof path, "%s", file);
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST) {
            fprintf(stderr, "meshnode: %s: %s\n", path, strerror(errno));
            return false;
        }
        *slash = '/';
    }
    return true;
}

static bool setup_write_unit(const char *config_path)
{
    char path[SETUP_PATH_SIZE], program[SETUP_PATH_SIZE] = "/usr/bin/meshnode";
    ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
    if (size > 0) program[size] = '\0';
    const char *slash = strrchr(config_path, '/');
    snprintf(path, sizeof path, "%.*s/meshnode.service", (int)(slash - config_path), config_path);
    struct mn_writer to = {0};
    mn_writer_format(&to,
                     "[Unit]\nDescription=Node of a mesh of MCP servers\n"
                     "After=network-online.target\nWants=network-online.target\n\n"
                     "[Service]\nType=notify\nExecStart=%s run --config %s\n"
                     "ExecReload=/bin/kill -HUP $MAINPID\nRestart=on-failure\n"
                     "RestartPreventExitStatus=77 78\nLimitNOFILE=65536\n\n"
                     "[Install]\nWantedBy=multi-user.target\n",
                     program, config_path);
    struct mn_buf *text = mn_writer_done(&to);
    bool is_done = setup_write_new(path, text);
    if (is_done) printf("to start it: systemctl enable --now %s\n", path);
    mn_buf_unref(text);
    return is_done;
}

static int setup_make_key(const char *data)
{
    struct files *files = NULL;
    struct files_error error;
    uint8_t fresh[IDENTITY_SEED_SIZE], seed[IDENTITY_SEED_SIZE];
    bool is_new = false;
    mn_status status = files_open(data, &files, &error);
    process_random(fresh, sizeof fresh);
    if (status == MN_OK)
        status = files_secret(files, "identity.key", fresh, sizeof fresh, seed, &is_new, &error);
    if (status == MN_OK)
        printf("%s %s\n", files_path(files, "identity.key"), is_new ? "made" : "is there already");
    else
        fprintf(stderr, "meshnode: %s\n", error.text);
    explicit_bzero(fresh, sizeof fresh);
    explicit_bzero(seed, sizeof seed);
    files_close(files);
    if (status == MN_OK) return 0;
    return status == MN_DENIED ? RUN_REFUSED : RUN_UNAVAILABLE;
}

int setup_init(const struct options *options, const char *directory, bool has_unit)
{
    char config_path[SETUP_PATH_SIZE], data[SETUP_PATH_SIZE];
    char *usual = config_default_path(), *absolute = NULL;
    if (directory != NULL) {
        snprintf(config_path, sizeof config_path, "%s/", directory);
        if (setup_make_directory(config_path)) absolute = realpath(directory, NULL);
        if (absolute == NULL) return RUN_UNAVAILABLE;
        snprintf(config_path, sizeof config_path, "%.4000s/meshnode.yaml", absolute);
        snprintf(data, sizeof data, "%.4000s/data", absolute);
    } else {
        snprintf(config_path, sizeof config_path, "%s", usual);
        snprintf(data, sizeof data, "%.4000s", options_text(options, CONFIG_NODE_DATA));
    }
    struct mn_writer to = {0};
    setup_write_config(options, directory == NULL ? NULL : data, &to);
    struct mn_buf *text = mn_writer_done(&to);
    bool is_done = setup_make_directory(config_path) && setup_write_new(config_path, text);
    if (is_done && has_unit) is_done = setup_write_unit(config_path);
    int code = is_done ? setup_make_key(data) : RUN_UNAVAILABLE;
    mn_buf_unref(text);
    mn_free(usual);
    free(absolute);
    return code;
}

/* ---- token new ---- */

int setup_token_new(void)
{
    struct token token;
    uint8_t secret[TOKEN_SECRET_SIZE];
    char text[TOKEN_TEXT_SIZE], id_text[TOKEN_ID_TEXT_SIZE];
    process_random(secret, sizeof secret);
    token_init(&token, NULL, secret);
    token_encode(&token, text);
    mn_id id = token_id(&token);
    printf("%s\n", text);
    fprintf(stderr,
            "token %s, not registered anywhere yet. Put it into a file of mode 0600, then:\n"
            "  meshnode --bootstrap --token @FILE          founds the mesh that takes it\n"
            "  meshnode --join HOST:7000 --token @FILE     joins it\n",
            token_id_format(&id, id_text));
    token_done(&token);
    explicit_bzero(secret, sizeof secret);
    explicit_bzero(text, sizeof text);
    return 0;
}
