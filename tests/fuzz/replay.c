/* Runs a fuzz target over stored inputs, so that every corpus is part of every test run, with any
 * compiler. usage: fuzz_x FILE|FOLDER... */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long files_count;

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    size_t size = 0;
    char block[4096];

    if (file == NULL) {
        perror(path);
        return -1;
    }
    for (size_t got; (got = fread(block, 1, sizeof block, file)) > 0; size += got) {
        bytes = realloc(bytes, size + got);
        if (bytes == NULL) abort();
        memcpy(bytes + size, block, got);
    }
    fclose(file);
    if (bytes == NULL) bytes = malloc(1);
    LLVMFuzzerTestOneInput(bytes, size);
    free(bytes);
    files_count++;
    return 0;
}

static int replay(const char *path)
{
    DIR *folder = opendir(path);
    int failed = 0;

    if (folder == NULL) return replay_file(path);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char inside[4096];
        if (entry->d_name[0] == '.') continue;
        snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name);
        failed |= replay_file(inside);
    }
    closedir(folder);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;

    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]);
    printf("%lu inputs replayed\n", files_count);
    return failed == 0 && files_count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
