package emrp.driver;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;

/** Ends this process, and all that it started, when the process that started it is gone. */
final class Lifeline {
  private static final int KILLED = 137;

  private Lifeline() {}

  /** Watches a pipe of which the other process holds the other end; nothing is ever written to it. */
  static void watch(InputStream pipe) {
    Thread thread = new Thread(() -> waitForEnd(pipe), "lifeline");
    thread.setDaemon(true);
    thread.start();
  }

  private static void waitForEnd(InputStream pipe) {
    try {
      pipe.transferTo(OutputStream.nullOutputStream());
    } catch (IOException e) {
      // As good as the end of it.
    }
    ProcessHandle.current().descendants().forEach(ProcessHandle::destroyForcibly);
    Runtime.getRuntime().halt(KILLED); // orderly shutdown could wait for a job that never ends
  }
}
