package emrp.driver;

import java.io.IOException;
import org.apache.spark.deploy.SparkSubmit;

/** Runs spark-submit in this process, as long as the process that started it lives. */
public final class Driver {
  private Driver() {}

  public static void main(String[] arguments) throws IOException {
    Lifeline.watch(System.in);
    Archives.unpack(System.getProperty("emrp.archives", ""));
    SparkSubmit.main(arguments);
  }
}
