package emrp.driver;

import java.util.concurrent.Future;
import org.apache.spark.deploy.SparkSubmit;

/**
 * Runs spark-submit in this process, as long as the process that started it lives.
 *
 * <p>Started with {@code --warm} only, it warms up and waits for the arguments to come through its lifeline.
 */
public final class Driver {
  private Driver() {}

  public static void main(String[] arguments) throws Exception {
    Future<String[]> later = Lifeline.watch(System.in);
    Archives.unpack(System.getProperty("emrp.archives", ""));
    if (arguments[0].equals("--warm")) {
      WarmUp.run();
      SparkSubmit.main(later.get());
    } else {
      SparkSubmit.main(arguments);
    }
  }
}
