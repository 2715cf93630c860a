#include "sim/common/marks.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"

extern struct mn_probe *__start_mn_probes[], *__stop_mn_probes[];

/* Several places may share a text. */
static bool is_reached(const char *text)
{
    uint64_t hits = 0;
    bool is_known = false;

    for (struct mn_probe **probe = __start_mn_probes; probe < __stop_mn_probes; probe++) {
        if (strcmp((*probe)->text, text) != 0) continue;
        is_known = true;
        hits += (*probe)->hits;
    }
    if (hits == 0) printf("%s: %s\n", is_known ? "never reached" : "there is no such mark", text);
    return hits > 0;
}

bool marks_are_reached(const char *path)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t size = 0;
    bool is_all = file != NULL;

    if (file == NULL) printf("%s: cannot be read\n", path);
    while (file != NULL && getline(&line, &size, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] != '\0' && line[0] != '#' && !is_reached(line)) is_all = false;
    }
    free(line);
    if (file != NULL) fclose(file);
    return is_all;
}
