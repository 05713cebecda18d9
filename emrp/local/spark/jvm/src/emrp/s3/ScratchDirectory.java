package emrp.s3;

import java.io.IOException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * The local folder for what a job writes only to rename it when it commits.
 *
 * <p>Committers write below {@code _temporary} or a staging directory, streaming checkpoints write a hidden file
 * first. Kept here, such a rename is one upload: S3 sees one object, and one event, per final object, as with the
 * committers of EMR.
 */
final class ScratchDirectory {
  private static final Pattern SCRATCH_NAME =
      Pattern.compile("_temporary|\\.spark-staging-.*|\\.hive-staging.*|\\..*\\.[0-9a-f-]{36}(\\.TID\\d+)?\\.tmp");
  private static final Path ROOT = createRoot();

  private final Path directory;

  ScratchDirectory(String bucket) {
    directory = ROOT.resolve(bucket);
  }

  static boolean holds(String key) {
    return Stream.of(key.split("/")).anyMatch(name -> SCRATCH_NAME.matcher(name).matches());
  }

  /** A new file outside of every bucket, for an object that is still being written. */
  static Path newFile() throws IOException {
    return Files.createTempFile(ROOT, "object", null);
  }

  /** The local place of a key, which need not exist. */
  Path resolve(String key) throws IOException {
    Path place = directory.resolve(key).normalize();
    if (!place.startsWith(directory)) {
      throw new IOException("Not below its bucket: " + key);
    }
    return place;
  }

  /** The files below a key, however deep. */
  List<Path> files(String key) throws IOException {
    Path start = resolve(key);
    if (!Files.exists(start)) {
      return List.of();
    }
    try (Stream<Path> found = Files.walk(start)) {
      return found.filter(Files::isRegularFile).sorted().toList();
    }
  }

  String key(Path place) {
    return directory.relativize(place).toString().replace('\\', '/');
  }

  /** Removes what is at a key, and the folders above it that are empty then; false when there was nothing. */
  boolean delete(String key) throws IOException {
    Path place = resolve(key);
    boolean existed = Files.exists(place);
    deleteTree(place);
    try {
      for (Path above = place.getParent(); above.startsWith(directory); above = above.getParent()) {
        Files.deleteIfExists(above);
      }
    } catch (DirectoryNotEmptyException e) {
      return existed; // another task still writes there
    }
    return existed;
  }

  private static Path createRoot() {
    try {
      Path root = Files.createTempDirectory("s3-scratch");
      Runtime.getRuntime().addShutdownHook(new Thread(() -> deleteQuietly(root), "s3-scratch"));
      return root;
    } catch (IOException e) {
      throw new ExceptionInInitializerError(e);
    }
  }

  private static void deleteQuietly(Path root) {
    try {
      deleteTree(root);
    } catch (IOException e) {
      // The process ends; whoever started it removes its temporary folder.
    }
  }

  private static void deleteTree(Path start) throws IOException {
    if (!Files.exists(start)) {
      return;
    }
    Files.walkFileTree(
        start,
        new SimpleFileVisitor<>() {
          @Override
          public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
            Files.deleteIfExists(file);
            return FileVisitResult.CONTINUE;
          }

          @Override
          public FileVisitResult visitFileFailed(Path file, IOException e) throws IOException {
            if (e instanceof NoSuchFileException) {
              return FileVisitResult.CONTINUE; // removed by another thread meanwhile
            }
            throw e;
          }

          @Override
          public FileVisitResult postVisitDirectory(Path folder, IOException e) throws IOException {
            Files.deleteIfExists(folder);
            return FileVisitResult.CONTINUE;
          }
        });
  }
}
