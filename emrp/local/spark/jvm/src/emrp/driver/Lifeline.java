package emrp.driver;

import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;

/**
 * The pipe from the process that started this one. When that process is gone, this one ends, with all that it
 * started. Before, it may send the arguments of a job: their number and then each of them, all ended by a NUL.
 */
final class Lifeline {
  private static final int KILLED = 137;

  private Lifeline() {}

  /** Begins to watch the pipe and returns the arguments that will, or will not, come. */
  static Future<String[]> watch(InputStream pipe) {
    CompletableFuture<String[]> arguments = new CompletableFuture<>();
    Thread thread = new Thread(() -> read(pipe, arguments), "lifeline");
    thread.setDaemon(true);
    thread.start();
    return arguments;
  }

  private static void read(InputStream pipe, CompletableFuture<String[]> arguments) {
    try {
      String[] words = new String[Integer.parseInt(readWord(pipe))];
      for (int i = 0; i < words.length; i++) {
        words[i] = readWord(pipe);
      }
      arguments.complete(words);
      readWord(pipe);
    } catch (IOException e) {
      ProcessHandle.current().descendants().forEach(ProcessHandle::destroyForcibly);
      Runtime.getRuntime().halt(KILLED); // an orderly end could wait for a job that has none
    }
  }

  private static String readWord(InputStream pipe) throws IOException {
    ByteArrayOutputStream word = new ByteArrayOutputStream();
    for (int next = pipe.read(); next != 0; next = pipe.read()) {
      if (next < 0) {
        throw new EOFException();
      }
      word.write(next);
    }
    return word.toString(StandardCharsets.UTF_8);
  }
}
