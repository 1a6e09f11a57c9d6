// Run the page's program, which is compressed to keep the file small. The content security policy allows exactly it.

const program = document.createElement("script");
program.textContent = new TextDecoder().decode(inflate(decodeBase85(document.getElementById("program").textContent.trim())));
document.body.append(program);
