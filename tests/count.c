/* count.c - a serial count of lines, words and bytes, beside which examples/pwc is checked. Reads paths from standard
 * input, one a line; prints "LINES WORDS BYTES PATH", and a total. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  char path[4096];
  long long lines = 0, words = 0, bytes = 0;
  while (fgets(path, sizeof(path), stdin) != NULL) {
    long long l = 0, w = 0, b = 0;
    int c, inside = 0;
    FILE *file;
    path[strcspn(path, "\n")] = '\0';
    file = fopen(path, "rb");
    if (file == NULL) {
      perror(path);
      return 1;
    }
    while ((c = getc(file)) != EOF) {
      b++;
      l += c == '\n';
      if (isspace(c))
        inside = 0;
      else if (!inside) {
        inside = 1;
        w++;
      }
    }
    fclose(file);
    printf("%lld %lld %lld %s\n", l, w, b, path);
    lines += l;
    words += w;
    bytes += b;
  }
  printf("%lld %lld %lld total\n", lines, words, bytes);
  return 0;
}
