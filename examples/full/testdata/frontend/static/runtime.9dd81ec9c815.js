(() => { document.getElementById("root").textContent = "A frontend for tests."; })();
