/* Secrets come from files: what stands on a command line, every user of the host can read. */
#include <errno.h>
#include <stdio.h>

#include "node/ctl/ctl.h"

bool ctl_secret_read(const char *path, char *text)
{
    FILE *file = fopen(path, "re");
    size_t size;

    if (file == NULL) return false;
    errno = 0;
    size = fread(text, 1, CTL_SECRET_MAX, file);
    if (ferror(file)) size = 0;
    fclose(file);
    if (size == CTL_SECRET_MAX) return false;
    while (size > 0 && (unsigned char)text[size - 1] <= ' ')
        size--;
    text[size] = '\0';
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) return false;
    return size > 0;
}
