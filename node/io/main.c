/* meshnode: one node of a mesh of MCP servers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/io/bridge.h"
#include "node/io/config.h"
#include "node/io/process.h"
#include "node/io/run.h"
#include "node/io/servers.h"
#include "node/io/setup.h"
#include "proto/base/memory.h"

#define MAIN_PATH_SIZE 4096

enum main_extra { MAIN_CONFIG = 0, MAIN_HELP, MAIN_VERSION, MAIN_HELP_MAN, MAIN_EXTRA_COUNT };

static const struct options_extra main_extras[MAIN_EXTRA_COUNT] = {
    [MAIN_CONFIG] = {"config", "FILE", "configuration file; conf.d/*.yaml beside it is read too",
                     true, NULL},
    [MAIN_HELP] = {"help", NULL, "show this", false, NULL},
    [MAIN_VERSION] = {"version", NULL, "show the version", false, NULL},
    [MAIN_HELP_MAN] = {"help-man", NULL, "show this as a manual page (troff)", false, NULL},
};

static const char main_usage[] =
    "usage: meshnode [run] [FLAGS]         run a node: found a mesh, join one, or resume\n"
    "       meshnode init [--dir DIR] [--systemd]   write a commented configuration and a key\n"
    "       meshnode check [FLAGS]         validate; show every value and where it came from\n"
    "       meshnode mcp [--server URL | --data DIR]   stdio bridge for clients that spawn "
    "commands\n"
    "       meshnode token new             make a join token before its mesh\n"
    "       meshnode authority recover --root FILE [FLAGS]   a stopped member becomes the only "
    "issuer\n"
    "       meshnode ctl ...               the same as meshctl\n"
    "       meshnode completion bash|zsh|fish\n";

/* What a command line comes to. */
struct main_arguments {
    struct options options;
    struct options_extra extras[MAIN_EXTRA_COUNT];
    char **words;
    uint32_t words_count;
};

static void main_write(FILE *file, struct mn_writer *writer)
{
    struct mn_buf *text = mn_writer_done(writer);
    fwrite(text->bytes, 1, text->size, file);
    mn_buf_unref(text);
}

static int main_fail_usage(const char *text)
{
    fprintf(stderr, "meshnode: %s\ntry: meshnode --help\n", text);
    return RUN_USAGE;
}

/* Tokens are not for the process table. The options have their own copy by now. */
static void main_hide_token(int argc, char **argv)
{
    static const char flag[] = "--token";
    bool has_hidden = false;
    for (int i = 1; i < argc; i++) {
        char *secret = NULL;
        if (strcmp(argv[i], flag) == 0 && i + 1 < argc)
            secret = argv[i + 1];
        else if (strncmp(argv[i], "--token=", sizeof flag) == 0)
            secret = argv[i] + sizeof flag;
        if (secret == NULL || secret[0] == '@') continue;
        memset(secret, '*', strlen(secret));
        has_hidden = true;
    }
    if (has_hidden)
        fprintf(stderr, "meshnode: others could see the token in the process table for a moment; "
                        "use --token @FILE\n");
}

static mn_status main_read(struct main_arguments *arguments, int argc, char **argv,
                           struct options_error *error)
{
    options_init(&arguments->options, config_specs, CONFIG_COUNT);
    memcpy(arguments->extras, main_extras, sizeof main_extras);
    arguments->words = mn_alloc((size_t)argc * sizeof *arguments->words);
    return options_read_flags(&arguments->options, argc, argv, arguments->extras, MAIN_EXTRA_COUNT,
                              arguments->words, &arguments->words_count, error);
}

static void main_done(struct main_arguments *arguments)
{
    options_done(&arguments->options);
    mn_free(arguments->words);
}

/* ---- text ---- */

static int main_help(const struct options *options)
{
    struct mn_writer to = {0};
    mn_writer_str(&to, main_usage);
    mn_writer_str(&to, "\nFlags:\n");
    options_write_help(options, main_extras, MAIN_EXTRA_COUNT, &to);
    main_write(stdout, &to);
    return 0;
}

/* The help of a command that has flags of its own. */
static int main_help_of(const char *usage, const struct options *options,
                        const struct options_extra *extras, uint32_t extras_count)
{
    struct mn_writer to = {0};
    mn_writer_str(&to, "usage: ");
    mn_writer_str(&to, usage);
    mn_writer_str(&to, "\n");
    options_write_help(options, extras, extras_count, &to);
    main_write(stdout, &to);
    return 0;
}

static int main_help_man(const struct options *options)
{
    struct mn_writer to = {0};
    mn_writer_str(&to, ".TH MESHNODE 1 \"\" \"meshnode " MN_VERSION "\"\n.SH NAME\n"
                       "meshnode \\- node of a mesh of MCP servers\n.SH SYNOPSIS\n.nf\n");
    for (const char *line = main_usage; *line != '\0'; line++) {
        if (*line == '-') mn_writer_str(&to, "\\");
        mn_writer_add(&to, mn_span(line, 1));
    }
    mn_writer_str(&to, ".fi\n");
    options_write_man(options, main_extras, MAIN_EXTRA_COUNT, &to);
    mn_writer_str(&to,
                  ".SH EXIT STATUS\n0 clean stop; 1 fatal at run time; 2 usage; 69 port or "
                  "store unavailable; 75 could not join (with \\-\\-join\\-required); 77 identity "
                  "or permission refused; 78 configuration invalid\n");
    main_write(stdout, &to);
    return 0;
}

static int main_completion(const struct options *options, const char *shell)
{
    static const char commands[] = "run init check mcp token ctl completion";
    struct mn_writer to = {0};
    bool is_zsh = strcmp(shell, "zsh") == 0, is_fish = strcmp(shell, "fish") == 0;
    if (!is_zsh && !is_fish && strcmp(shell, "bash") != 0)
        return main_fail_usage("completion: one of bash, zsh, fish");
    struct mn_writer flags = {0};
    options_write_flags(options, main_extras, MAIN_EXTRA_COUNT, &flags);
    struct mn_buf *words = mn_writer_done(&flags);
    if (is_zsh) mn_writer_str(&to, "autoload -U +X bashcompinit && bashcompinit\n");
    if (is_fish)
        mn_writer_format(&to, "complete -c meshnode -a '%s %.*s'\n", commands, (int)words->size,
                         (const char *)words->bytes);
    else
        mn_writer_format(&to, "complete -o default -W '%s %.*s' meshnode\n", commands,
                         (int)words->size, (const char *)words->bytes);
    mn_buf_unref(words);
    main_write(stdout, &to);
    return 0;
}

/* ---- commands ---- */

static int main_check(const struct options *options)
{
    struct servers servers;
    struct options_error error;
    struct mn_writer to = {0};
    mn_status status = servers_read(options, &servers, &error);
    if (status == MN_OK) status = servers_check(&servers, &error);
    servers_done(&servers);
    options_write_values(options, &to);
    main_write(stdout, &to);
    if (status == MN_OK) return 0;
    fprintf(stderr, "meshnode: %s\n", error.text);
    return RUN_CONFIG;
}

static int main_load_and(struct main_arguments *arguments, int (*command)(const struct options *))
{
    struct options_error error;
    const char *path = arguments->extras[MAIN_CONFIG].value;
    if (config_load(&arguments->options, path, environ, &error) != MN_OK) {
        fprintf(stderr, "meshnode: %s\n", error.text);
        return RUN_CONFIG;
    }
    return command == NULL ? run(&arguments->options, path) : command(&arguments->options);
}

/* `meshnode [run|check] FLAGS`, or one of the flags that only print. */
static int main_flags(int argc, char **argv, int (*command)(const struct options *))
{
    struct main_arguments arguments = {0};
    struct options_error error;
    mn_status status = main_read(&arguments, argc, argv, &error);
    int code;
    main_hide_token(argc, argv);
    if (status != MN_OK)
        code = main_fail_usage(error.text);
    else if (arguments.extras[MAIN_HELP].value != NULL)
        code = main_help(&arguments.options);
    else if (arguments.extras[MAIN_HELP_MAN].value != NULL)
        code = main_help_man(&arguments.options);
    else if (arguments.extras[MAIN_VERSION].value != NULL)
        code = printf("meshnode %s\n", MN_VERSION) < 0;
    else if (arguments.words_count > 0) {
        snprintf(error.text, sizeof error.text, "unknown command \"%.200s\"", arguments.words[0]);
        code = main_fail_usage(error.text);
    } else {
        if (command == NULL) process_be_init();
        code = main_load_and(&arguments, command);
    }
    main_done(&arguments);
    return code;
}

static int main_init(int argc, char **argv)
{
    struct options_extra extras[] = {
        {"dir", "DIR", "where to write; default: the usual places", true, NULL},
        {"systemd", NULL, "write a unit too", false, NULL},
        {"help", NULL, "show this", false, NULL},
    };
    const uint32_t extras_count = sizeof extras / sizeof *extras;
    struct options options;
    struct options_error error;
    char **words = mn_alloc((size_t)argc * sizeof *words);
    uint32_t words_count = 0;
    options_init(&options, config_specs, CONFIG_COUNT);
    config_set_defaults(&options);
    const struct options none = {config_specs, options.values, 0}; /* no flags but its own */
    struct options flags = none;
    mn_status status =
        options_read_flags(&flags, argc, argv, extras, extras_count, words, &words_count, &error);
    int code = RUN_USAGE;
    if (status != MN_OK)
        code = main_fail_usage(error.text);
    else if (extras[2].value != NULL)
        code = main_help_of("meshnode init [--dir DIR] [--systemd]", &flags, extras, extras_count);
    else if (words_count > 0)
        code = main_fail_usage("init takes --dir DIR and --systemd");
    else
        code = setup_init(&options, extras[0].value, extras[1].value != NULL);
    mn_free(words);
    options_done(&options);
    return code;
}

static int main_ctl(char **argv)
{
    char path[MAIN_PATH_SIZE];
    static char name[] = "meshctl";
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - sizeof name);
    argv[0] = name;
    if (size > 0) {
        path[size] = '\0';
        memcpy(strrchr(path, '/') + 1, name, sizeof name);
        execv(path, argv);
    }
    execvp(name, argv);
    fprintf(stderr, "meshnode: meshctl: %s; it belongs beside meshnode, or somewhere in PATH\n",
            strerror(errno));
    return RUN_FATAL;
}

static int main_completion_of(int argc, char **argv)
{
    struct options options;
    options_init(&options, config_specs, CONFIG_COUNT);
    int code = main_completion(&options, argc == 2 ? argv[1] : "");
    options_done(&options);
    return code;
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
    int shift = command[0] != '\0';
    if (strcmp(command, "init") == 0) return main_init(argc - 1, argv + 1);
    if (strcmp(command, "mcp") == 0) return bridge(argc - 1, argv + 1);
    if (strcmp(command, "ctl") == 0) return main_ctl(argv + 1);
    if (strcmp(command, "completion") == 0) return main_completion_of(argc - 1, argv + 1);
    if (strcmp(command, "token") == 0) {
        if (argc == 3 && strcmp(argv[2], "new") == 0) return setup_token_new();
        return main_fail_usage("token: the one command is `token new`; others are meshctl's");
    }
    if (strcmp(command, "authority") == 0) {
        if (argc >= 4 && strcmp(argv[2], "recover") == 0 && strncmp(argv[3], "--root", 6) == 0)
            return main_flags(argc - 2, argv + 2, NULL);
        return main_fail_usage("authority recover --root FILE [FLAGS]: at a stopped member");
    }
    if (strcmp(command, "check") == 0) return main_flags(argc - 1, argv + 1, main_check);
    if (strcmp(command, "run") != 0) shift = 0; /* an unknown word is refused with the flags */
    return main_flags(argc - shift, argv + shift, NULL);
}
